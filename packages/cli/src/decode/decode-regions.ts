import { DecodeStatus } from '@nest86/decoder';
import { mnemonic, mnemonicName } from '@nest86/decoder/mnemonic';
import { ExitCode } from '../errors.ts';
import { Progress } from '../progress.ts';
import { hexText } from './hex.ts';
import type { DecodeJob } from './job.ts';
import { Listing } from './listing.ts';
import { Statistics } from './statistics.ts';
import { type Region, Sweep } from './sweep.ts';

/** Instructions between two looks at the clock. */
const batch = 1 << 16;

/**
 * Goes over every region: prints, counts, or both. What cannot be decoded is not an error here, since code has data in it.
 */
export async function decodeRegions(job: DecodeJob): Promise<number> {
  const { input, output, io, isJson, withStatistics } = job;
  const statistics = withStatistics ? new Statistics() : undefined;
  const progress = new Progress(io);
  const size = input.regions.reduce((sum, region) => sum + region.size, 0);
  const start = io.now();
  let shown = 0;
  let done = 0;

  if (!isJson && input.title !== '') output.add(`${job.palette.paint('heading', input.title)}\n`);
  for (const region of input.regions) {
    const sweep = new Sweep(input.source, region, job.decoder);
    if (shown < job.limit) shown += await print(region, sweep, job, job.limit - shown, statistics);
    if (statistics === undefined && shown >= job.limit) break;
    if (statistics !== undefined) {
      await output.flush();
      while (countBatch(sweep, statistics))
        await progress.update(() =>
          progressText(region, done + sweep.offset, size, statistics, io.now() - start),
        );
    }
    done += region.size;
  }
  const milliseconds = io.now() - start;
  await progress.clear();
  if (statistics !== undefined) {
    const lines = statistics.instructions + statistics.invalidBytes;
    if (!isJson && shown > 0 && shown < lines) {
      const rest = `… ${shown.toLocaleString('en-US')} of ${lines.toLocaleString('en-US')} lines shown`;
      output.add(`${job.palette.paint('address', rest)}\n`);
    }
    // Loaded only when needed: it brings the tables of CPUID features.
    const { statisticsRecord, statisticsTable } = await import('./statistics-table.ts');
    output.add(
      isJson
        ? `${JSON.stringify({ statistics: statisticsRecord(statistics, milliseconds) })}\n`
        : `\n${statisticsTable(statistics, milliseconds, job.palette)}`,
    );
  }
  await output.flush();
  return ExitCode.ok;
}

/** Prints up to `limit` instructions, and answers how many it were. */
async function print(
  region: Region,
  sweep: Sweep,
  job: DecodeJob,
  limit: number,
  statistics: Statistics | undefined,
): Promise<number> {
  const { output, isJson } = job;
  const listing = new Listing(region, job);
  const { instruction } = sweep;
  const section = region.name === '' ? '' : `"section":${JSON.stringify(region.name)},`;
  if (!isJson && region.name !== '') output.add(`\n${job.palette.paint('heading', region.name)}\n`);
  let shown = 0;
  while (shown < limit && sweep.next()) {
    const { bytes, position, length, offset } = sweep;
    statistics?.count(instruction);
    shown++;
    output.add(
      isJson ? jsonLine(section, sweep, listing) : listing.row(instruction, bytes, position, length, offset),
    );
    if (output.isFull) await output.flush();
  }
  return shown;
}

/** Put together by hand: one JSON.stringify of a whole object per instruction takes several times as long. */
function jsonLine(
  section: string,
  { instruction, bytes, position, length, offset }: Sweep,
  listing: Listing,
): string {
  const place = `{"address":"0x${listing.addressText(offset)}",${section}`;
  const start = `${place}"bytes":"${hexText(bytes, position, position + length)}",`;
  if (instruction.status !== DecodeStatus.ok) return `${start}"bad":true}\n`;
  const text = JSON.stringify(listing.text(instruction, offset));
  return `${start}"mnemonic":"${mnemonicName(mnemonic(instruction))}","text":${text}}\n`;
}

/** Counts some instructions; false at the end of the region. */
function countBatch(sweep: Sweep, statistics: Statistics): boolean {
  const { instruction } = sweep;
  for (let i = 0; i < batch; i++) {
    if (!sweep.next()) return false;
    statistics.count(instruction);
  }
  return true;
}

function progressText(
  region: Region,
  done: number,
  size: number,
  statistics: Statistics,
  milliseconds: number,
): string {
  const percent = Math.floor((100 * done) / size);
  const rate = statistics.instructions / 1000 / milliseconds;
  const what = region.name === '' ? '' : ` ${region.name}`;
  return `decoding${what} ${percent} %  ${rate.toFixed(1)} million instructions/s`;
}
