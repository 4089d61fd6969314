import { z } from 'zod';

/** How much of one GPU, in thousandths: in hundredths of it, from a tenth on. */
export const gpuShareSchema = z
  .number()
  .int()
  .min(100)
  .max(1_000)
  .multipleOf(10)
  .describe(
    'How much of its one GPU, in thousandths: a tenth or more, in hundredths; 1000, the whole, when omitted. Others may run on the rest. Only clusters that share their GPUs take less than 1000; GPU-seconds count by the part',
  );
