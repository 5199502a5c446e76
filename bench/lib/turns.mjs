// What benchmarks write: turns of two messages of about 400 bytes, the same in every run. The text is of a support chat: common
// English words as often as they are in English (Zipf), sentences, and now and then a number, a date, a name or a typographic
// sign. What matters of it is that it compresses like prose: zlib takes 100 such messages to about the same share as 40 kB of
// the prose in docs/ (bench/README.md has the figures).

/** @typedef {{ role: 'user' | 'assistant', content: string }} Message */

// in order of frequency, roughly
const WORDS =
  'the to I you a and is for of it my your that in on can be have this with not we will if me at are so do but was please or from as our an what would just any there has been no when by how also which all get up they about out let could then one after before here order time see only sure need more want help account day back than now card again first still next email change new booking thank check number were date yes ticket page them other made should possible sorry over payment flight ask week off week these know made than until already confirm price two find where who some their into work last open use send same days few question code message call hours both anything phone show right another able today tomorrow add since room since address keep sent name problem because through within may system made request details option during refund card hotel morning least until try without team step seat available while cancel does service file change once instead hour both does make long given name bank amount however between under leave receive always minutes together later arrive following travel early enough free evening total good small soon bring reservation passenger luggage customer question website wrong number support either better whole until each cost actually several thing believe correct settings update password reset device screen battery shipping package warehouse courier delivery invoice address subscription renew monthly annual upgrade plan discount coupon balance statement transfer receipt currency exchange percent insurance policy claim document passport visa border airport terminal gate boarding delay connection layover luggage carry window aisle meal vegetarian allergy medical doctor appointment calendar reminder meeting schedule conference room projector budget report quarter revenue forecast analysis table column filter export import format error warning restart version install driver network router signal cable adapter charger warranty repair technician replacement model serial colour size quantity stock supplier purchase approve reject manager department employee salary holiday contract signature deadline draft review comment paragraph translation language French German Spanish Portuguese kitchen recipe ingredient oven temperature garlic onion butter sugar flour weather rain forecast temperature garden plant water soil music concert ticket museum exhibition guide tour mountain beach island ferry train station platform bicycle rental helmet insurance mileage fuel parking'.split(
    ' ',
  );
const NAMES = [
  'Anna',
  'José',
  'Mehmet',
  'Zoë',
  'Priya',
  'Łukasz',
  'Chen',
  'Fatima',
  'Olivia',
  'Müller',
  "O'Brien",
  'Lisbon',
  'Kraków',
  'Osaka',
];
const weights = WORDS.map((_, n) => 1 / (n + 2.7));
const total = weights.reduce((sum, weight) => sum + weight, 0);
let reached = 0;
const upTo = weights.map((weight) => (reached += weight / total));

let seed = 42;
/** The next number in [0, 1). */
const random = () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
const below = (n) => Math.floor(random() * n);

function word() {
  const at = random();
  let low = 0;
  for (let high = upTo.length - 1; low < high; ) {
    const middle = (low + high) >> 1;
    if (upTo[middle] < at) low = middle + 1;
    else high = middle;
  }
  return WORDS[low];
}

const SPECIALS = [
  () => `${10 + below(990)}`,
  () => `#${String.fromCharCode(65 + below(26))}${String.fromCharCode(65 + below(26))}-${100_000 + below(900_000)}`,
  () => `2026-${String(1 + below(12)).padStart(2, '0')}-${String(1 + below(28)).padStart(2, '0')}`,
  () => `${below(24)}:${String(below(60)).padStart(2, '0')}`,
  () => `$${1 + below(999)}.${String(below(100)).padStart(2, '0')}`,
  () => NAMES[below(NAMES.length)],
];

function sentence() {
  const parts = Array.from({ length: 5 + below(14) }, () => (random() < 0.045 ? SPECIALS[below(SPECIALS.length)]() : word()));
  parts[0] = parts[0][0].toUpperCase() + parts[0].slice(1);
  if (parts.length > 9) parts[4] += ',';
  return parts.join(' ') + (random() < 0.2 ? '?' : '.');
}

/** Text of 400 characters; one in eight has a character beyond Latin-1, as the text of models has. */
function text() {
  let made = sentence();
  while (made.length < 400) made += ` ${sentence()}`;
  if (random() < 0.125) made = made.replace(', ', ' — ');
  return made.slice(0, 400);
}

/** So many different turns there are: more than any conversation here gets between two compressed segments. */
const DIFFERENT = 8192;
const made = [];
let taken = 0;

/**
 * The next turn: objects of its own. Making text takes longer than an append in memory, so after {@link DIFFERENT} turns the
 * texts come again.
 *
 * @returns {[Message, Message]}
 */
export function turnOf() {
  const at = taken++ % DIFFERENT;
  const [question, answer] = (made[at] ??= [text(), text()]);
  return [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ];
}

/** The next turns. */
export const turnsOf = (count) => Array.from({ length: count }, turnOf);
