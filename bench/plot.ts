import { type Result, summary } from './compare.ts';

const width = 900;
const left = 320;
const right = 60;
const top = 76;
const rowHeight = 44;
const headingHeight = 30;

/** One line of the plot: a peer at one task, with a mark for each round-trip time. */
interface Line {
  y: number;
  peer: string;
  results: Result[];
}

/** The speeds as an SVG that reads on a light and on a dark page. */
export function plot(results: readonly Result[]): string {
  const { lines, headings, bottom } = layout(results);
  const x = scale(results);
  const height = bottom + 56;
  const grid = x.ticks.map(
    (tick) =>
      `<line class="${tick === 1 ? 'one' : 'grid'}" x1="${x.at(tick)}" x2="${x.at(tick)}" y1="${top - 8}" y2="${bottom}"/>
<text x="${x.at(tick)}" y="${bottom + 18}" text-anchor="middle">${tick}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Savepoint's speed beside its peers">
<style>
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-weight: 600; font-size: 15px } .heading { font-weight: 600 } .value { font-size: 11px }
.grid { stroke: #999; stroke-opacity: 0.35 } .one { stroke: #777; stroke-width: 2 } .goal { stroke: #d33; stroke-width: 2 }
.near { fill: #0a7d6c; stroke: #0a7d6c } .far { fill: #b5651d; stroke: #b5651d }
@media (prefers-color-scheme: dark) {
  text { fill: #ccc } .goal { stroke: #f77 } .near { fill: #3fc4ae; stroke: #3fc4ae } .far { fill: #eda65d; stroke: #eda65d }
}
</style>
<text class="title" x="12" y="24">How fast Savepoint is where the peer is 1</text>
${legend()}
${grid.join('\n')}
${headings.map(({ y, text }) => `<text class="heading" x="12" y="${y}">${escaped(text)}</text>`).join('\n')}
${lines.map((line) => drawn(line, x.at)).join('\n')}
<text x="${(left + width - right) / 2}" y="${bottom + 42}" text-anchor="middle">peer's time ÷ Savepoint's time (logarithmic); right of 1, Savepoint is faster</text>
</svg>
`;
}

function layout(results: readonly Result[]) {
  const lines: Line[] = [];
  const headings: { y: number; text: string }[] = [];
  let y = top;
  for (const task of new Set(results.map((result) => result.task))) {
    headings.push({ y: y + 18, text: task.replaceAll('`', '') });
    y += headingHeight;
    const ofTask = results.filter((result) => result.task === task);
    for (const peer of new Set(ofTask.map((result) => result.peer))) {
      lines.push({
        y: y + rowHeight / 2,
        peer: peer.replaceAll('`', ''),
        results: ofTask.filter((result) => result.peer === peer),
      });
      y += rowHeight;
    }
  }
  return { lines, headings, bottom: y };
}

/** A logarithmic axis whose ticks are powers of two around everything that is shown. */
function scale(results: readonly Result[]) {
  const all = results.flatMap((result) => {
    const { lowest, highest } = summary(result);
    return [lowest, highest, result.target?.atLeast ?? 1];
  });
  const first = Math.floor(Math.log2(Math.min(0.5, ...all)));
  const last = Math.ceil(Math.log2(Math.max(2, ...all)));
  const at = (speed: number) =>
    round(left + ((Math.log2(speed) - first) / (last - first)) * (width - left - right));
  return { at, ticks: Array.from({ length: last - first + 1 }, (_, n) => 2 ** (first + n)) };
}

function drawn({ y, peer, results }: Line, at: (speed: number) => number): string {
  const marks = results.map((result, index) => {
    const middle = y + (index - (results.length - 1) / 2) * 18;
    const { speed, lowest, highest } = summary(result);
    const name = result.roundTrip === 0 ? 'near' : 'far';
    const goal = result.target && at(result.target.atLeast);
    return `${goal === undefined ? '' : `<line class="goal" x1="${goal}" x2="${goal}" y1="${middle - 8}" y2="${middle + 8}"/>`}
<line class="${name}" x1="${at(lowest)}" x2="${at(highest)}" y1="${middle}" y2="${middle}" stroke-width="2"/>
${mark(name, at(speed), middle)}
<text class="value" x="${at(highest) + 9}" y="${middle + 4}">${speed.toPrecision(2)}</text>`;
  });
  return `<text x="28" y="${y + 4}">${escaped(peer)}</text>\n${marks.join('\n')}`;
}

/** A circle or a square, so that the two also differ without color. */
function mark(name: string, x: number, y: number): string {
  return name === 'near'
    ? `<circle class="near" cx="${x}" cy="${y}" r="5"/>`
    : `<rect class="far" x="${round(x - 4.5)}" y="${y - 4.5}" width="9" height="9"/>`;
}

function legend(): string {
  return `${mark('near', 18, 48)}<text x="30" y="52">no added delay</text>
${mark('far', 158, 48)}<text x="170" y="52">50 ms round trip</text>
<line class="goal" x1="308" x2="308" y1="40" y2="56"/><text x="318" y="52">goal</text>
<text x="372" y="52">median of the pairs, line from lowest to highest</text>`;
}

function round(number: number): number {
  return Math.round(number * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
