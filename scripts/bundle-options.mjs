// How sources become a bundle: for dist/, and for what the benchmark measures beside it.

import childProcess from 'node:child_process';

// Parts of ssh2 that Savepoint never uses: its server, SFTP, proxies, making of keys and compression.
// Loading them and what they load of Node (http, https, tls, zlib) takes longer than the key exchange.
const withoutUnused = {
  name: 'without-unused',
  setup({ onResolve, onLoad }) {
    onLoad({ filter: /\/ssh2\/lib\/(http-agents|server|keygen|protocol\/SFTP)\.js$/ }, () => ({
      contents: 'module.exports = {};',
    }));
    // The making of archives is all that is used of tar-stream.
    onLoad({ filter: /\/tar-stream\/extract\.js$/ }, () => ({ contents: 'module.exports = {};' }));
    onResolve({ filter: /^zlib$/ }, ({ importer }) =>
      /\/ssh2\/lib\/protocol\/zlib\.js$/.test(importer)
        ? { path: 'zlib', namespace: 'unused' }
        : undefined,
    );
    // Just what that file does while it is loaded.
    onLoad({ filter: /.*/, namespace: 'unused' }, () => ({
      contents: 'module.exports = { constants: {}, createInflate: () => ({ _handle: {} }) };',
    }));
    // ssh2 is as good without these, and looking for them takes longer than the key exchange; no
    // native code that happens to be near a bundle is loaded into it, either.
    onResolve({ filter: /^cpu-features$|\/sshcrypto\.node$/ }, ({ path }) => ({
      path,
      namespace: 'native',
    }));
    onLoad({ filter: /.*/, namespace: 'native' }, ({ path }) => ({
      contents: `throw new Error('${path} is not part of the bundle');`,
    }));
    // All that bcrypt-pbkdf takes of tweetnacl is SHA-512, which Node has.
    onLoad({ filter: /\/tweetnacl\/nacl-fast\.js$/ }, () => ({ contents: sha512OfNode }));
  },
};

// Node takes some milliseconds to load this, and a job on a remote host seldom starts a program here.
const whenUsed = {
  name: 'when-used',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?child_process$/ }, ({ path, namespace }) =>
      namespace === 'when-used' ? undefined : { path, namespace: 'when-used' },
    );
    // Proxies, and not functions that call: promisify asks execFile for a property of its own.
    onLoad({ filter: /.*/, namespace: 'when-used' }, () => ({
      contents: `for (const name of ${JSON.stringify(Object.keys(childProcess))})
  exports[name] = new Proxy(() => {}, {
    apply: (_, self, given) => Reflect.apply(require('node:child_process')[name], self, given),
    get: (_, key) => require('node:child_process')[name][key],
  });`,
    }));
  },
};

const sha512OfNode = `
const { createHash } = require('node:crypto');
exports.lowlevel = {
  crypto_hash(out, message, length) {
    out.set(createHash('sha512').update(message.subarray(0, length)).digest());
    return 0;
  },
};`;

export const bundleOptions = {
  outExtension: { '.js': '.cjs' },
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  // Node reads and compiles a bundle at each start. In ASCII it holds it in one byte a character,
  // and without spaces it has a third less of it; names and short lines keep stack traces readable.
  charset: 'ascii',
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 120,
  legalComments: 'none',
  plugins: [withoutUnused, whenUsed],
  logLevel: 'warning',
};
