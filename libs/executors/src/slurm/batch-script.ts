/**
 * The script that Slurm runs for a submission, one program for each task of the array. slurmctld keeps a copy from the
 * moment of submission, so it is all that is ever sent; what is secret or differs lies in the program's own folder.
 *
 * Files in a program's folder, by who writes them:
 * - agent: `program.sh` (variables, command), `rank.sh` (of a gang), `kill` (end it now), `asked` (end before it begins);
 * - script: `began/` (with `job` and `host`), whose mkdir is what makes a program run once; `end`, how it ended.
 *
 * Rules:
 * - No folder, no program: an attempt that was given up while its submission was unclear starts nothing.
 * - `began` of another Slurm job: we are its double, and end without a word. Of this same job: Slurm has queued it
 *   again after the program had run; what goes on from there is a new attempt and the facility's to decide.
 * - USR1, and TERM, ask the program to save its state; both come from Slurm (`--signal`, preemption, scancel) and from the agent.
 */
export function batchScript(options: {
  readonly root: string;
  /** Folders of the programs, by index of the array. */
  readonly folders: readonly string[];
  /** Lines of the site's own: `module load …`. */
  readonly setup: readonly string[];
  /** A program whose agent has not been seen for so long is ended; 0: never. */
  readonly orphanSeconds: number;
  readonly watchSeconds: number;
}): string {
  const cases = options.folders.map((folder, index) => `  ${index}) here=${quote(folder)} ;;`);
  return `#!/bin/bash
# Written by a Beamtime agent: one program of one attempt for each task.
root=${quote(options.root)}
case "\${SLURM_ARRAY_TASK_ID:-0}" in
${cases.join('\n')}
  *) echo "no program for task \${SLURM_ARRAY_TASK_ID:-0}" >&2; exit 0 ;;
esac
job="\${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}_\${SLURM_ARRAY_TASK_ID:-0}"

# end CODE SIGNAL WHY: one line, complete or not there.
end() {
  printf '%s %s %s\\n' "$1" "$2" "$3" > "$here/end.new" && mv -f "$here/end.new" "$here/end"
}

if [ ! -f "$here/program.sh" ]; then echo "this attempt was given up" >&2; exit 0; fi
warned=-
interrupted=
child=
told() {
  interrupted=1
  [ "$warned" = - ] && warned=$1
  [ -n "$child" ] && kill -s "$2" "$child" 2>/dev/null
}
trap 'told USR1 USR1' USR1
trap 'told TERM TERM' TERM
if ! mkdir "$here/began" 2>/dev/null; then
  [ "$(cat "$here/began/job" 2>/dev/null)" = "$job" ] || { echo "this attempt runs in another job" >&2; exit 0; }
  # A controller that crashed before it had saved its state starts a job that still runs: first that has to end.
  if [ ! -e "$here/end" ]; then
    printf requeued > "$here/kill"
    sleep ${2 * options.watchSeconds + 1}
    [ -e "$here/end" ] || end 75 - requeued
  fi
  exit 0
fi
printf '%s' "$job" > "$here/began/job"
address=$(scontrol show node -o "\${SLURMD_NODENAME:-}" 2>/dev/null | sed -n 's/.* NodeAddr=\\([^ ]*\\) .*/\\1/p')
printf '%s' "\${address:-$(hostname)}" > "$here/began/host.new" && mv "$here/began/host.new" "$here/began/host"

. "$here/program.sh"
${options.setup.join('\n')}
if [ -e "$here/asked" ] || [ "$warned" != - ]; then end 75 - asked; exit 75; fi
cd "$workdir" || { end 1 - "workdir"; exit 1; }
if [ "$processes" -gt 1 ]; then
  export MASTER_ADDR="\${address:-$(hostname)}"
  # The port is the submission's own; where somebody listens already, the next.
  while (exec 3<>"/dev/tcp/127.0.0.1/$MASTER_PORT") 2>/dev/null; do MASTER_PORT=$((MASTER_PORT + 1)); done
  export MASTER_PORT
  # SLURM_EXPORT_ENV would keep these variables from the tasks.
  unset SLURM_EXPORT_ENV
  setsid srun --ntasks="$processes" --kill-on-bad-exit=1 --input=none --output=/dev/null --error="$here/srun.err" \\
    --job-name=gang bash "$here/rank.sh" "$here" "\${command[@]}" </dev/null >/dev/null 2>>"$here/srun.err" &
else
  setsid "\${command[@]}" </dev/null >>${quote('runner.out')} 2>>${quote('runner.err')} &
fi
child=$!
# It may have come while there was no child to tell.
[ "$warned" = - ] || kill -s "$warned" "$child" 2>/dev/null

# Ends the program when the agent says so without slurmctld's help, or has given the attempt up, or is long gone.
(
  trap - USR1 TERM
  while sleep ${options.watchSeconds}; do
    why=
    if [ -e "$here/kill" ]; then why=$(cat "$here/kill"); why=\${why:-killed}
    elif [ -d "$root" ] && [ ! -d "$here" ]; then why=killed
    elif [ ${options.orphanSeconds} -gt 0 ]; then
      beat=$(stat -c %Y "$root/heartbeat" 2>/dev/null) && [ $(($(date +%s) - beat)) -gt ${options.orphanSeconds} ] && why=orphaned
    fi
    [ -n "$why" ] || continue
    [ -d "$here" ] && printf '%s' "$why" > "$here/why"
    [ "$processes" -gt 1 ] && timeout 10 scancel --signal=KILL "$SLURM_JOB_ID" 2>/dev/null
    kill -KILL -- "-$child" 2>/dev/null
  done
) &
watcher=$!

code=
while :; do
  interrupted=
  wait "$child"
  now=$?
  # A second look at a child that has been waited for.
  if [ "$now" -eq 127 ] && [ -n "$code" ]; then break; fi
  code=$now
  if [ -z "$interrupted" ] || [ "$code" -le 128 ]; then break; fi
done
kill "$watcher" 2>/dev/null
[ -d "$here" ] || exit 0
# Whatever it started and left behind.
kill -KILL -- "-$child" 2>/dev/null
if [ "$processes" -gt 1 ] && [ -s "$here/gang" ]; then code=$(cat "$here/gang"); fi
signal=-
if [ "$code" -gt 128 ] && name=$(kill -l "$((code - 128))" 2>/dev/null); then signal=SIG$name; fi
end "$code" "$signal" "$(cat "$here/why" 2>/dev/null || printf '%s' "$warned")"
exit "$code"
`;
}

/**
 * One process of a gang, told its place as torchrun would. The leader speaks on stdout; the others keep their words
 * to themselves unless they fail. The first failure is the gang's; a saved state (75) or success is the leader's.
 */
export const rankScript = `#!/bin/bash
here=$1
shift
export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID
export GROUP_RANK=$SLURM_NODEID LOCAL_WORLD_SIZE=$((SLURM_NTASKS / SLURM_NNODES))
out=runner.out
err=runner.err
if [ "$RANK" -ne 0 ]; then out=/dev/null; err="rank$RANK.err"; fi
trap : USR1 TERM
"$@" </dev/null >>"$out" 2>>"$err" &
child=$!
code=
while :; do
  wait "$child"
  now=$?
  if [ "$now" -eq 127 ] && [ -n "$code" ]; then break; fi
  code=$now
  kill -0 "$child" 2>/dev/null || break
done
case "$code" in
  0 | 75)
    if [ "$RANK" -eq 0 ]; then (set -C; printf '%s' "$code" > "$here/gang") 2>/dev/null; fi
    # Srun would take 75 for a failure, and end those that are still saving.
    exit 0 ;;
  *)
    (set -C; printf '%s' "$code" > "$here/gang") 2>/dev/null
    if [ "$RANK" -ne 0 ]; then { printf 'process %s of %s ended with %s: ' "$RANK" "$WORLD_SIZE" "$code"; tail -c 2000 "$err"; } >>runner.err; fi
    exit "$code" ;;
esac
`;

/** The variables and the command of one program, as shell. */
export function programFile(program: {
  readonly workdir: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly processes: number;
  /** Where a gang's processes meet. */
  readonly masterPort: number;
}): string {
  const lines = Object.entries(program.env).map(([name, value]) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw new Error(`${name} is no name of a variable`);
    return `export ${name}=${quote(value)}`;
  });
  return [
    ...lines,
    `workdir=${quote(program.workdir)}`,
    `processes=${program.processes}`,
    `MASTER_PORT=${program.masterPort}`,
    `command=(${program.command.map(quote).join(' ')})`,
    '',
  ].join('\n');
}

/** A word that the shell takes as it is. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
