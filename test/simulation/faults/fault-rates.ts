/** Per five seconds and thing, unless said otherwise. */
export const rates = {
  labKilled: 0.02,
  labFrozen: 0.02,
  labCut: 0.03,
  labTwin: 0.006,
  facilityCrashed: 0.008,
  facilityFrozen: 0.006,
  connectionsLost: 0.012,
  redisAway: 0.03,
  clockStep: 0.03,
  jobCancelled: 0.02,
  jobPreempted: 0.05,
  knockLost: 0.05,
  /** Per knock. */
  redisAwayAtKnock: 0.002,
  message: {
    requestLost: 0.015,
    answerLost: 0.015,
    repeated: 0.02,
    late: 0.03,
    agentKilledBefore: 0.0005,
    agentKilledAfter: 0.0005,
  },
  /** Per step with a program or on a disk. */
  machineStep: { killedBefore: 0.0005, killedAfter: 0.0005 },
  statement: {
    killedBefore: 0.0008,
    killedAfterCommit: 0.003,
    serverRestarted: 0.00001,
    processCrashed: 0.00002,
    processCrashedAfterCommit: 0.0001,
    processFrozen: 0.00002,
  },
} as const;
