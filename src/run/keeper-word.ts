/**
 * The word that makes an entry be the keeper, which reads what to keep from standard input. Apart from
 * what the keeper does, so that an entry knows it before it loads anything.
 */
export const KEEPER = 'keep-lease';
