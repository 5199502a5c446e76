// What benchmarks write: turns of 2 messages of 400 bytes of text that compresses as text does, the same in every run.
const words =
  'the of a booking flight seat from to please change my reservation passenger card confirm date economy cancel refund thanks'.split(' ');
let seed = 42;
const next = () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648);
const text = () =>
  Array.from({ length: 62 }, () => words[next() % words.length])
    .join(' ')
    .slice(0, 400);
/** The next turn. */
export const turnOf = () => [
  { role: 'user', content: text() },
  { role: 'assistant', content: text() },
];
