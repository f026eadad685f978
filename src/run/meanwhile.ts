import type { News } from '../transaction/news.ts';
import type { EventBody } from './events.ts';

/** Tells what happens to the connection while something is waited for, and gives what came of that. */
export async function* meanwhile<T>(news: News, waited: Promise<T>): AsyncGenerator<EventBody, T> {
  yield* news.until(waited);
  return await waited;
}
