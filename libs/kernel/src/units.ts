/** What an allocation grants and a hold sets aside. Always whole, never a float. */
export const units = ['gpu_seconds', 'output_tokens', 'activation_bytes'] as const;
export type Unit = (typeof units)[number];
