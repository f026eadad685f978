import { SavepointError } from '../errors.ts';
import type { Transaction } from './types.ts';

/**
 * Renews the lease while this process lives. One refusal that says the transaction is over ends it;
 * a link that is down is tried again, for the lease may outlast it.
 */
export function keepLease(
  transaction: Transaction,
  onOver: (error: SavepointError) => void,
): Disposable {
  let busy = false;
  const timer = setInterval(async () => {
    if (busy) return;
    busy = true;
    try {
      await transaction.renew();
    } catch (error) {
      const over = ['not-open', 'fenced', 'bad-token', 'lease-expired', 'host-rebooted'];
      if (error instanceof SavepointError && over.includes(error.name)) {
        clearInterval(timer);
        onOver(error);
      }
    } finally {
      busy = false;
    }
  }, transaction.record.request.renew * 1000);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
