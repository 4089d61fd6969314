import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

@Entity({ schema: 'inference', name: 'capture' })
@Index('capture_allocation', ['allocationId', 'createdAt'])
export class CaptureRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'capture_pkey' }) id!: string;
  @Column({ type: 'text', name: 'allocation_id' }) allocationId!: string;
  @Column({ type: 'text', name: 'model_name' }) modelName!: string;
  @Column({ type: 'text' }) revision!: string;
  @Column({ type: 'text', name: 'object_key' }) objectKey!: string;
  @Column({ type: 'bigint', name: 'size_bytes' }) sizeBytes!: string;
  @Column({ type: 'text' }) sha256!: string;
  @Column({ type: 'jsonb' }) tensors!: unknown;
  @Column({ type: 'jsonb' }) receipt!: unknown;
  @Column({ type: 'jsonb' }) usage!: unknown;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
}
