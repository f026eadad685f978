import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Far above what a slow and busy machine needs: only what hangs is ended by it.
    testTimeout: 300_000,
    // The first to need the machines' image builds it.
    hookTimeout: 600_000,
    pool: 'forks',
    projects: [
      {
        extends: true,
        test: {
          name: 'suite',
          include: ['test/**/*.test.ts'],
          exclude: ['test/.cache/**', 'test/lab/**'],
        },
      },
      {
        // Whole machines mostly wait: for a boot, or for a lease to end. So two files at a time, after
        // the others.
        extends: true,
        test: {
          name: 'lab',
          include: ['test/lab/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
