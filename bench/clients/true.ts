// true.cjs HOST: connects, authenticates, runs `true`.
import { hostOfArguments, succeed } from './client.ts';

void (async () => {
  await using host = await hostOfArguments();
  await succeed(host, 'true');
})();
