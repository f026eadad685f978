import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import type { HostShell } from '../host/shell.ts';
import type { Abilities } from './abilities.ts';

/** What a rehearsal tracks below its scratch root; the last is not there to begin with. */
export const tracked = ['/etc/odd', '/etc/plain.conf', '/etc/link.conf', '/etc/absent.d/file'];

/** What the change removes. */
export const removed = ['/etc/odd/with space'];

// Every step that a host may lack the tool for stands behind the ability it needs.
const script = `
cd "$1" && gnu=$2 attributes=$3 acls=$4 root=$5
rm -rf etc
umask 022
mkdir -p etc/odd/empty etc/odd/deep/er
cd etc
echo old >plain.conf
chmod 640 plain.conf
ln -s plain.conf link.conf
cd odd
echo 'deb http://old.example/debian stable main' >sources
echo space >'with space'
echo dash >./-dash
printf 'quotes\\n' >"quote'\\"s"
printf bytes >"$(printf 'b\\351te')"
: >nothing
ln -s ../nowhere dangling
head -c 300000 /dev/zero | tr '\\000' x >large
echo deep >deep/er/file
chmod 4711 deep/er/file
chmod 1770 deep
if [ "$gnu" = yes ]; then
  printf 'line break\\n' >"$(printf 'line\\nbreak')"
  ln sources same-as-sources
fi
if [ "$attributes" = yes ]; then setfattr -n user.note -v kept sources; fi
if [ "$acls" = yes ]; then setfacl -m u:1:r large; fi
if [ "$root" = yes ]; then
  chown 12345:54321 nothing deep
  # The tar of busybox gives every link to root.
  [ "$gnu" = no ] || chown -h 12345:54321 dangling
fi
cd ..
when='2001-02-03 04:05:06'
if touch -d "$when.123456789" odd 2>/dev/null; then when=$when.123456789; fi
find . -depth -exec touch -h -d "$when" {} +
`;

/** Makes the tree that a rehearsal protects, always the same. */
export async function buildWorld(shell: HostShell, root: string, can: Abilities): Promise<void> {
  const word = (yes: boolean) => (yes ? 'yes' : 'no');
  // Tools that are not GNU's lose both; that they are refused for it is a check of its own.
  const words = [can.gnu, can.gnu && can.attributes, can.gnu && can.acls, can.root].map(word);
  await shell.run(script, [root, ...words]);
}

/** The change: a file replaced, one added, a link that becomes a file, new directories. */
export async function change(): Promise<Buffer> {
  const archive = pack();
  const bytes = buffer(archive);
  const file = (name: string, text: string) =>
    archive.entry({ name, mode: 0o644, mtime: new Date(0) }, text);
  for (const name of ['etc', 'etc/odd', 'etc/odd/new.d', 'etc/absent.d']) {
    archive.entry({ name, type: 'directory', mode: 0o755, mtime: new Date(0) });
  }
  file('etc/odd/sources', 'deb http://new.example/debian stable main\n');
  file('etc/odd/new.d/added', 'new\n');
  file('etc/plain.conf', 'new\n');
  file('etc/link.conf', 'a file instead of a link\n');
  file('etc/absent.d/file', 'new\n');
  archive.finalize();
  return await bytes;
}
