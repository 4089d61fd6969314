import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What a context brings to the database: its PostgreSQL schema, its rows, its migrations in order. */
export interface ContextSchema {
  /** Name of the PostgreSQL schema that the context owns. */
  readonly context: string;
  // biome-ignore lint/complexity/noBannedTypes: TypeORM takes entity classes as Function
  readonly entities: readonly Function[];
  readonly migrations: readonly SqlMigration[];
}

export interface SqlMigration {
  /** `context-0001-what`: unique. */
  readonly name: string;
  /** Orders migrations over all contexts: milliseconds since 1970, 13 digits. */
  readonly timestampMs: number;
  readonly up: string;
}

export function sqlMigration(name: string, timestampMs: number, up: string): SqlMigration {
  return { name, timestampMs, up };
}

/** TypeORM wants a class whose name ends in a timestamp; there is no way down: mend forward. */
export function migrationClass(migration: SqlMigration): new () => MigrationInterface {
  const className = `${migration.name.replace(/[^A-Za-z0-9]/g, '_')}_${migration.timestampMs}`;
  const made = class {
    name = className;
    async up(runner: QueryRunner): Promise<void> {
      await runner.query(migration.up);
    }
    down(): Promise<void> {
      return Promise.reject(new Error('Migrations are never undone; write a new one'));
    }
  };
  Object.defineProperty(made, 'name', { value: className });
  return made;
}
