import { type ContextSchema, sqlMigration } from '@beamtime/platform';
import {
  Check,
  Column,
  Entity,
  ForeignKey,
  Index,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  Unique,
} from 'typeorm';

@Entity({ schema: 'identity', name: 'lab' })
@Unique('lab_slug_key', ['slug'])
@Unique('lab_name_key', ['name'])
@Check('lab_weight_positive', 'contribution_weight >= 1')
class LabRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'lab_pkey' }) id!: string;
  @Column({ type: 'text' }) slug!: string;
  @Column({ type: 'text' }) name!: string;
  @Column({ type: 'int', name: 'contribution_weight' }) contributionWeight!: number;
  @Column({ type: 'boolean', name: 'in_arrears', default: false }) inArrears!: boolean;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
}

@Entity({ schema: 'identity', name: 'person' })
@Unique('person_email_key', ['email'])
@Check('person_email_lower', 'email = lower(email)')
class PersonRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'person_pkey' }) id!: string;
  @Column({ type: 'text' }) name!: string;
  @Column({ type: 'text' }) email!: string;
  @Column({ type: 'timestamptz', name: 'first_login_at', nullable: true }) firstLoginAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'suspended_at', nullable: true }) suspendedAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
}

@Entity({ schema: 'identity', name: 'login' })
@Index('login_person', ['personId'])
class LoginRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'login_pkey' }) issuer!: string;
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'login_pkey' }) subject!: string;
  @ForeignKey(() => PersonRow, { name: 'login_person_fkey' })
  @Column({ type: 'text', name: 'person_id' })
  personId!: string;
  @Column({ type: 'timestamptz', name: 'first_at', default: () => 'now()' }) firstAt!: Date;
  @Column({ type: 'timestamptz', name: 'last_at', default: () => 'now()' }) lastAt!: Date;
}

@Entity({ schema: 'identity', name: 'membership' })
@Index('membership_in_lab', ['personId', 'labId', 'role'], { unique: true, where: 'lab_id IS NOT NULL' })
@Index('membership_in_consortium', ['personId', 'role'], { unique: true, where: 'lab_id IS NULL' })
@Index('membership_of_lab', ['labId'])
@Check('membership_role_fits', `(role IN ('secretariat', 'auditor')) = (lab_id IS NULL)`)
class MembershipRow {
  @PrimaryGeneratedColumn({ type: 'bigint', primaryKeyConstraintName: 'membership_pkey' }) id!: string;
  @ForeignKey(() => PersonRow, { name: 'membership_person_fkey' })
  @Column({ type: 'text', name: 'person_id' })
  personId!: string;
  @ForeignKey(() => LabRow, { name: 'membership_lab_fkey' })
  @Column({ type: 'text', name: 'lab_id', nullable: true })
  labId!: string | null;
  @Column({ type: 'text' }) role!: string;
  @Column({ type: 'text', name: 'granted_by' }) grantedBy!: string;
  @Column({ type: 'timestamptz', name: 'granted_at', default: () => 'now()' }) grantedAt!: Date;
}

@Entity({ schema: 'identity', name: 'session' })
@Unique('session_token_hash_key', ['tokenHash'])
@Index('session_person', ['personId'])
@Index('session_expiry', ['expiresAt'])
class SessionRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'session_pkey' }) id!: string;
  @Column({ type: 'text', name: 'token_hash' }) tokenHash!: string;
  @ForeignKey(() => PersonRow, { name: 'session_person_fkey' })
  @Column({ type: 'text', name: 'person_id' })
  personId!: string;
  @Column({ type: 'text' }) assurance!: string;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
  @Column({ type: 'timestamptz', name: 'last_seen_at', default: () => 'now()' }) lastSeenAt!: Date;
  @Column({ type: 'timestamptz', name: 'expires_at' }) expiresAt!: Date;
}

@Entity({ schema: 'identity', name: 'login_code' })
class LoginCodeRow {
  @PrimaryColumn({ type: 'text', name: 'code_hash', primaryKeyConstraintName: 'login_code_pkey' })
  codeHash!: string;
  @Column({ type: 'text' }) challenge!: string;
  @ForeignKey(() => PersonRow, { name: 'login_code_person_fkey' })
  @Column({ type: 'text', name: 'person_id' })
  personId!: string;
  @Column({ type: 'timestamptz', name: 'expires_at' }) expiresAt!: Date;
}

const keyFits = `(kind = 'allocation' AND allocation_id IS NOT NULL AND person_id IS NOT NULL AND cluster_id IS NULL AND lab_id IS NULL)
   OR (kind = 'agent' AND allocation_id IS NULL AND cluster_id IS NOT NULL AND lab_id IS NOT NULL)`;

@Entity({ schema: 'identity', name: 'api_key' })
@Unique('api_key_hash_key', ['tokenHash'])
@Index('api_key_person', ['personId'])
@Index('api_key_allocation', ['allocationId'])
@Index('api_key_lab', ['labId'])
@Check('api_key_fits_kind', keyFits)
class ApiKeyRow {
  @PrimaryColumn({ type: 'text', primaryKeyConstraintName: 'api_key_pkey' }) id!: string;
  @Column({ type: 'text' }) kind!: string;
  @Column({ type: 'text' }) label!: string;
  @Column({ type: 'text', name: 'token_hash' }) tokenHash!: string;
  @Column({ type: 'text', name: 'shown_prefix' }) shownPrefix!: string;
  @ForeignKey(() => PersonRow, { name: 'api_key_person_fkey' })
  @Column({ type: 'text', name: 'person_id', nullable: true })
  personId!: string | null;
  @Column({ type: 'text', name: 'allocation_id', nullable: true }) allocationId!: string | null;
  @Column({ type: 'text', array: true, default: () => "'{}'" }) scopes!: string[];
  @Column({ type: 'text', name: 'cluster_id', nullable: true }) clusterId!: string | null;
  @ForeignKey(() => LabRow, { name: 'api_key_lab_fkey' })
  @Column({ type: 'text', name: 'lab_id', nullable: true })
  labId!: string | null;
  @Column({ type: 'text', name: 'created_by' }) createdBy!: string;
  @Column({ type: 'timestamptz', name: 'created_at', default: () => 'now()' }) createdAt!: Date;
  @Column({ type: 'timestamptz', name: 'expires_at', nullable: true }) expiresAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'revoked_at', nullable: true }) revokedAt!: Date | null;
  @Column({ type: 'timestamptz', name: 'last_used_at', nullable: true }) lastUsedAt!: Date | null;
}

export const identitySchema: ContextSchema = {
  context: 'identity',
  entities: [LabRow, PersonRow, LoginRow, MembershipRow, SessionRow, LoginCodeRow, ApiKeyRow],
  migrations: [
    sqlMigration(
      'identity-0001-people-labs-keys',
      1_795_000_010_001,
      `
      CREATE TABLE identity.lab (
        id text CONSTRAINT lab_pkey PRIMARY KEY,
        slug text NOT NULL CONSTRAINT lab_slug_key UNIQUE,
        name text NOT NULL CONSTRAINT lab_name_key UNIQUE,
        contribution_weight int NOT NULL CONSTRAINT lab_weight_positive CHECK (contribution_weight >= 1),
        in_arrears boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now()
      );
      CREATE TABLE identity.person (
        id text CONSTRAINT person_pkey PRIMARY KEY,
        name text NOT NULL,
        email text NOT NULL CONSTRAINT person_email_key UNIQUE CONSTRAINT person_email_lower CHECK (email = lower(email)),
        first_login_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now()
      );
      CREATE TABLE identity.login (
        issuer text NOT NULL,
        subject text NOT NULL,
        person_id text NOT NULL CONSTRAINT login_person_fkey REFERENCES identity.person (id),
        first_at timestamptz NOT NULL DEFAULT now(),
        last_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT login_pkey PRIMARY KEY (issuer, subject)
      );
      CREATE INDEX login_person ON identity.login (person_id);
      CREATE TABLE identity.membership (
        id bigint GENERATED BY DEFAULT AS IDENTITY CONSTRAINT membership_pkey PRIMARY KEY,
        person_id text NOT NULL CONSTRAINT membership_person_fkey REFERENCES identity.person (id),
        lab_id text CONSTRAINT membership_lab_fkey REFERENCES identity.lab (id),
        role text NOT NULL,
        granted_by text NOT NULL,
        granted_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT membership_role_fits CHECK ((role IN ('secretariat', 'auditor')) = (lab_id IS NULL))
      );
      CREATE UNIQUE INDEX membership_in_lab ON identity.membership (person_id, lab_id, role) WHERE lab_id IS NOT NULL;
      CREATE UNIQUE INDEX membership_in_consortium ON identity.membership (person_id, role) WHERE lab_id IS NULL;
      CREATE INDEX membership_of_lab ON identity.membership (lab_id);
      CREATE TABLE identity.session (
        id text CONSTRAINT session_pkey PRIMARY KEY,
        token_hash text NOT NULL CONSTRAINT session_token_hash_key UNIQUE,
        person_id text NOT NULL CONSTRAINT session_person_fkey REFERENCES identity.person (id),
        assurance text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        last_seen_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL
      );
      CREATE INDEX session_person ON identity.session (person_id);
      CREATE INDEX session_expiry ON identity.session (expires_at);
      CREATE TABLE identity.login_code (
        code_hash text CONSTRAINT login_code_pkey PRIMARY KEY,
        challenge text NOT NULL,
        person_id text NOT NULL CONSTRAINT login_code_person_fkey REFERENCES identity.person (id),
        expires_at timestamptz NOT NULL
      );
      CREATE TABLE identity.api_key (
        id text CONSTRAINT api_key_pkey PRIMARY KEY,
        kind text NOT NULL,
        label text NOT NULL,
        token_hash text NOT NULL CONSTRAINT api_key_hash_key UNIQUE,
        shown_prefix text NOT NULL,
        person_id text CONSTRAINT api_key_person_fkey REFERENCES identity.person (id),
        allocation_id text,
        scopes text[] NOT NULL DEFAULT '{}'::text[],
        cluster_id text,
        lab_id text CONSTRAINT api_key_lab_fkey REFERENCES identity.lab (id),
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        revoked_at timestamptz,
        last_used_at timestamptz,
        CONSTRAINT api_key_fits_kind CHECK (${keyFits})
      );
      CREATE INDEX api_key_person ON identity.api_key (person_id);
      CREATE INDEX api_key_allocation ON identity.api_key (allocation_id);
      CREATE INDEX api_key_lab ON identity.api_key (lab_id);
      `,
    ),
    sqlMigration(
      'identity-0002-suspended-people',
      1_795_000_010_002,
      'ALTER TABLE identity.person ADD COLUMN suspended_at timestamptz',
    ),
  ],
};
