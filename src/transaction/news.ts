/** What happens on the way to a host while something else is waited for. */
export type LinkNews =
  | {
      kind: 'host_busy';
      /** Who holds the host, since when and until when at most, in the host's words. */
      reason: string;
      /** Seconds for which it will be asked for again. */
      patience: number;
    }
  | {
      kind: 'connection_lost';
      reason: string;
      /** Seconds for which the host will be tried again before it is given up. */
      patience: number;
    }
  | {
      kind: 'connection_resumed';
      /** Seconds for which it was lost. */
      after: number;
    };

/** News on its way from where it happens to where it is told; kept until somebody takes it. */
export class News {
  #items: LinkNews[] = [];
  #wake: () => void = () => undefined;

  push(item: LinkNews): void {
    this.#items.push(item);
    this.#wake();
  }

  /** All there is by now, each once. */
  take(): LinkNews[] {
    const items = this.#items;
    this.#items = [];
    return items;
  }

  /** What there is and what comes, until the promise settles, however it does. For one reader at a time. */
  async *until(settled: Promise<unknown>): AsyncGenerator<LinkNews> {
    let over = false;
    const end = () => {
      over = true;
      this.#wake();
    };
    settled.then(end, end);
    for (;;) {
      yield* this.take();
      if (over) return;
      await new Promise<void>((wake) => {
        this.#wake = wake;
        if (over || this.#items.length > 0) wake();
      });
    }
  }
}
