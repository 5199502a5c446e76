// Draws SVG files with Vega-Lite: `node bench/plots/draw.mjs` reads plots from stdin, as JSON: [{ file, spec }].
// Colours are ours and follow the reader's scheme, light or dark; the background is part of the picture, so that it can be read
// whatever page it is on.
import { readFileSync, writeFileSync } from 'node:fs';
import { Error as ERROR, logger, parse, View } from 'vega';
import { compile } from 'vega-lite';

const LIGHT = { background: '#ffffff', text: '#1f2328', quiet: '#656d76', grid: '#d8dee4' };
const DARK = { background: '#0d1117', text: '#e6edf3', quiet: '#9198a1', grid: '#30363d' };
const font = 'system-ui, Helvetica, Arial, sans-serif';

const config = {
  font,
  background: LIGHT.background,
  padding: 14,
  view: { stroke: null },
  title: { color: LIGHT.text, fontSize: 14, anchor: 'start', subtitleColor: LIGHT.quiet, subtitleFontSize: 11, offset: 12 },
  header: { labelColor: LIGHT.text, labelFontSize: 12, labelFontWeight: 'bold', title: null },
  axis: {
    labelColor: LIGHT.quiet,
    titleColor: LIGHT.text,
    titleFontWeight: 'normal',
    labelFontSize: 11,
    titleFontSize: 11,
    gridColor: LIGHT.grid,
    domainColor: LIGHT.grid,
    tickColor: LIGHT.grid,
    labelLimit: 420,
  },
  legend: { labelColor: LIGHT.text, titleColor: LIGHT.text, labelFontSize: 11, labelLimit: 420, symbolStrokeWidth: 2 },
};

const dark = Object.entries(LIGHT)
  .map(([name, colour]) => `[fill="${colour}"]{fill:${DARK[name]}}[stroke="${colour}"]{stroke:${DARK[name]}}`)
  .join('');

for (const { file, spec } of JSON.parse(readFileSync(0, 'utf8'))) {
  const compiled = compile({ $schema: 'https://vega.github.io/schema/vega-lite/v6.json', config, ...spec }).spec;
  const svg = await new View(parse(compiled), { renderer: 'none', logger: logger(ERROR) }).toSVG();
  const styled = svg.replace(/>/, `><style>@media (prefers-color-scheme: dark){${dark}}</style>`);
  writeFileSync(file, `${styled}\n`);
  console.log(file);
}
