import { DecodeStatus } from '@nest86/decoder';
import { Complaint, ExitCode } from '../errors.ts';
import { explainInvalid } from './explain/index.ts';
import { hexText } from './hex.ts';
import type { DecodeJob } from './job.ts';
import { Listing } from './listing.ts';
import { Sweep } from './sweep.ts';

/**
 * Decodes the bytes of --hex. Someone typed them and wants to know: so bytes that are no instruction are explained, and
 * nothing behind them is guessed at.
 */
export async function decodeHex(job: DecodeJob, bytes: Uint8Array): Promise<number> {
  const { input, output, isJson, isVerbose } = job;
  const [region] = input.regions;
  const listing = new Listing(region, job);
  const sweep = new Sweep(input.source, region, job.decoder);
  // Loaded only now: few runs need all that is known about an instruction.
  const { instructionRecord } = isJson ? await import('./record/index.ts') : {};
  for (let shown = 0; shown < job.limit && sweep.next(); shown++) {
    const { instruction, offset, length } = sweep;
    if (instruction.status !== DecodeStatus.ok) {
      const message = invalidMessage(bytes.subarray(offset), offset, instruction.length, job);
      await output.flush();
      throw new Complaint(message);
    }
    if (instructionRecord !== undefined) {
      const address = listing.addressAt(offset);
      const record = instructionRecord(
        instruction,
        bytes.subarray(offset, offset + length),
        address,
        job.format,
      );
      output.add(`${prettyJson(record)}\n`);
    } else if (isVerbose) output.add(listing.row(instruction, bytes, offset, length, offset));
    else output.add(`${listing.text(instruction, offset)}\n`);
    if (output.isFull) await output.flush();
  }
  await output.flush();
  return ExitCode.ok;
}

/** @param looked how many bytes the decoder took before it knew */
function invalidMessage(rest: Uint8Array, offset: number, looked: number, { processor }: DecodeJob): string {
  const shown = Math.min(Math.max(1, looked), rest.length);
  const bytes = `${hexText(rest, 0, shown)}${shown < rest.length ? ' …' : ''}`;
  return `invalid at offset ${offset}: ${bytes}: ${explainInvalid(rest, processor)}`;
}

/** Indented JSON with lists of words and numbers on one line: a record fits on fewer screens. */
function prettyJson(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(
    /\[\s+([^[\]{}]*?)\s+\]/g,
    (_, items: string) => `[${items.replace(/\s+/g, ' ')}]`,
  );
}
