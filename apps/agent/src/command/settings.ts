import { z } from 'zod';

export const containerEngines = ['podman', 'docker', 'apptainer', 'bubblewrap', 'none'] as const;

/** How a cluster runs commands that others bring; without it, it runs none. */
export const containerSettings = z
  .strictObject({
    engine: z
      .enum(containerEngines)
      .describe(
        "podman, docker, apptainer: in the image. bubblewrap: on this machine's own files, read-only, apart from everything else. none: on this machine as this user; images are only names then",
      ),
    command: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe("The engine's program with its own options, as [podman, --runtime, runc]"),
    runOptions: z.array(z.string()).default([]).describe('Further options of each run'),
    images: z
      .array(z.string().min(1).max(500))
      .min(1)
      .describe('Images that may run; * stands for any characters. Names are as docker.io/library/debian:12'),
    network: z.boolean().default(false).describe('Whether commands reach the network'),
    hosts: z
      .array(z.string().min(1).max(255))
      .default([])
      .describe('Hosts that inputs may be fetched from and outputs put to over http(s); *.example.org'),
    downloadBytesMax: z
      .number()
      .int()
      .min(0)
      .default(100 * 1024 ** 3)
      .describe('Of all that one task fetches from such hosts'),
  })
  .describe('How commands of others are run');
export type ContainerSettings = z.output<typeof containerSettings>;

/** What the agent writes beside the job file for the command runner. */
export const runnerSettings = z.strictObject({
  containers: containerSettings,
  /** Files and folders of this agent that no command may see. */
  hidden: z.array(z.string()),
});
export type RunnerSettings = z.output<typeof runnerSettings>;
