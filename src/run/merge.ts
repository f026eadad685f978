/**
 * The values of several sources as they come. A source is asked for its next value only when the
 * last one was taken, so a slow reader slows the process that writes and memory stays constant.
 */
export async function* merge<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<T> {
  const ready: { value: T; taken: () => void }[] = [];
  const failures: unknown[] = [];
  let open = sources.length;
  let wake = (): void => undefined;

  const pump = async (source: AsyncIterable<T>): Promise<void> => {
    try {
      for await (const value of source) {
        await new Promise<void>((taken) => {
          ready.push({ value, taken });
          wake();
        });
      }
    } catch (error) {
      failures.push(error);
    }
    open--;
    wake();
  };
  for (const source of sources) void pump(source);

  while (open > 0 || ready.length > 0) {
    const next = ready.shift();
    if (next) {
      yield next.value;
      next.taken();
    } else {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  if (failures.length > 0) throw failures[0];
}
