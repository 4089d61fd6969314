/** Wakes the reconciler that counts closed votes and follows schedules. */
export const countKnock = 'governance-rounds';
