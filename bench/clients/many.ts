// many.cjs HOST TOTAL AT-ONCE: connects that often and runs `true` each time; prints the most
// memory that the process ever had, in MB.
import { hostOfArguments, succeed } from './client.ts';

void (async () => {
  const [total = 0, atOnce = 0] = process.argv.slice(3).map(Number);
  let begun = 0;
  const worker = async () => {
    while (begun++ < total) {
      await using host = await hostOfArguments();
      await succeed(host, 'true');
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  // Kibibytes, from getrusage(2).
  process.stdout.write(`${(process.resourceUsage().maxRSS * 1024) / 1e6}\n`);
})();
