import { Segment } from '@nest86/cpu';
import { type Mmu, type TlbSnapshot, translate } from '@nest86/mmu';
import type { Machine } from '../machine.ts';
import type { VirtualProcessor } from '../processors/virtual-processor.ts';
import type { DebugMemory } from './debug-memory.ts';
import { registerTable } from './register-table.ts';

const help = `info registers     all registers of the thread's processor, descriptor caches and tables included
info cpus          the processors, and how many instructions they have retired
info tlb           what the TLB of the thread's processor holds
translate ADDRESS  how a linear address becomes a physical one, table by table
xp[/COUNT] ADDRESS bytes of physical memory, 64 if COUNT is not given
reset              RESET, and the kernel is loaded again; then: maintenance flush register-cache
quit               ends nest86
`;

const mostBytes = 4096;
/** Entries that are printed. */
const mostEntries = 400;
const bytesInLine = 16;
const pageShifts: readonly number[] = [12, 21, 22, 30];

/** Commands of gdb's `monitor`. */
export class Monitor {
  constructor(
    private readonly machine: Machine,
    private readonly memories: readonly DebugMemory[],
    private readonly quit: () => void,
  ) {}

  /** What a command prints. @param index of the processor */
  command(index: number, text: string): string {
    const { machine } = this;
    const [name, argument = ''] = text.split(/\s+(.*)/s);
    if (name === 'help' || name === '') return help;
    if (name === 'info') return this.info(index, argument.trim());
    if (name === 'translate') return this.translate(index, argument);
    if (/^xp(\/|$)/.test(name)) return this.dump(index, name, argument);
    if (name === 'reset') {
      machine.reset();
      return 'The machine was reset.\n';
    }
    if (name !== 'quit') return unknown(text);
    this.quit();
    return '';
  }

  private info(index: number, what: string): string {
    const { processors } = this.machine;
    if (what === 'registers') return registersText(processors[index]);
    if (what === 'tlb') return tlbText(processors[index].mmu);
    if (what !== 'cpus') return unknown(`info ${what}`);
    return processors
      .map(({ retired, isRunning, processor }, i) => {
        const state = isRunning ? 'runs' : 'waits';
        return `processor ${i}: ${state}, RIP ${hex(processor.state.getBig('rip'), 16)}, ${retired} instructions\n`;
      })
      .join('');
  }

  private translate(index: number, argument: string): string {
    const linear = numberOf(argument);
    if (linear === undefined) return badNumber(argument);
    const { processor, mmu } = this.machine.processors[index];
    const { context } = processor;
    const pdptes = Array.from({ length: 4 }, (_, i) =>
      pair(context.pdptes[2 * i], context.pdptes[2 * i + 1]),
    );
    const registers = {
      ...{ cr0: context.cr0, cr4: context.cr4, efer: context.efer, pdptes },
      cr3: pair(context.cr3Low, context.cr3High),
    };
    const second = context.secondStage === null ? {} : { secondStage: context.secondStage };
    return `${translate({ memory: mmu.memory, registers, linear, ...second })}\n`;
  }

  private dump(index: number, name: string, argument: string): string {
    const address = numberOf(argument);
    const count = name === 'xp' ? 64 : Number(name.slice(3));
    if (address === undefined || address >= 2n ** 52n) return badNumber(argument);
    if (!Number.isInteger(count) || count < 1 || count > mostBytes)
      return `${name}: a count from 1 to ${mostBytes} is allowed\n`;
    const bytes = this.memories[index].read(address, count, true);
    let text = '';
    for (let at = 0; at < bytes.length; at += bytesInLine) {
      const line = [...bytes.subarray(at, at + bytesInLine)].map((byte) => hex(BigInt(byte), 2));
      text += `${hex(address + BigInt(at), 16)}: ${line.join(' ')}\n`;
    }
    return bytes.length < count ? `${text}no RAM at ${hex(address + BigInt(bytes.length), 1)}\n` : text;
  }
}

function registersText({ processor }: VirtualProcessor): string {
  const { state } = processor;
  const lines: string[] = [];
  const some = registerTable
    .filter(({ bits }) => bits <= 64)
    .map((entry) => {
      const digits = entry.bits / 4;
      return `${entry.name.padEnd(9)} ${hex(entry.read(processor), digits).padEnd(16)}`;
    });
  for (let i = 0; i < some.length; i += 4)
    lines.push(
      some
        .slice(i, i + 4)
        .join('  ')
        .trimEnd(),
    );
  for (const [name, number] of Object.entries(Segment)) {
    const word = (field: 'segmentSelector' | 'segmentLimit' | 'segmentAttributes'): bigint =>
      BigInt(state.get(field, number) >>> 0);
    lines.push(
      `${name.padEnd(4)} ${hex(word('segmentSelector'), 4)}  base ${hex(state.getBig('segmentBase', number), 16)}  ` +
        `limit ${hex(word('segmentLimit'), 8)}  attributes ${hex(word('segmentAttributes'), 4)}`,
    );
  }
  for (const [number, name] of ['gdtr', 'idtr'].entries())
    lines.push(
      `${name} base ${hex(state.getBig('tableBase', number), 16)}  limit ${hex(BigInt(state.get('tableLimit', number) >>> 0), 4)}`,
    );
  for (let i = 0; i < 8; i++)
    if (i !== 4 && i !== 5) lines.push(`dr${i}  ${hex(state.getBig('debug', i), 16)}`);
  lines.push(
    `cpl ${state.get('cpl')}  activity ${state.get('activity')}  interrupt shadow ${state.get('interruptShadow')}`,
  );
  return `${lines.join('\n')}\n`;
}

/** Columns of a store of the TLB, as its snapshots have them. */
interface Columns {
  readonly context: Int32Array;
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly page: Float64Array;
  readonly rights: Int32Array;
}

function tlbText({ tlb }: Mmu): string {
  const { state } = tlb.save() as TlbSnapshot & {
    readonly state?: { readonly pages?: readonly { readonly columns: Columns }[] };
  };
  const lines: string[] = [];
  let count = 0;
  for (const [i, { columns }] of (state?.pages ?? []).entries()) {
    const { context, low, high, page, rights } = columns;
    for (let slot = 0; slot < context.length; slot++) {
      if (context[slot] < 0 || ++count > mostEntries) continue;
      const letters = [...'wuxdg'].map((letter, bit) => {
        const isSet = ((rights[slot] >> bit) & 1) === 1;
        return isSet !== (letter === 'x') ? letter : '-';
      });
      lines.push(
        `${hex(pair(low[slot], high[slot]), 16)}  ${hex(BigInt(page[slot]) << 12n, 13)}  2^${pageShifts[i]}  ${letters.join('')}  context ${context[slot]}`,
      );
    }
  }
  if (count > mostEntries) lines.push(`and ${count - mostEntries} more`);
  return `${tlb.name}: ${count} pages\n${lines.join('\n')}${lines.length > 0 ? '\n' : ''}`;
}

function pair(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

function hex(value: bigint, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

/** Hexadecimal, with or without 0x. */
function numberOf(text: string): bigint | undefined {
  const digits = /^\s*(?:0x)?([\da-f]{1,16})\s*$/i.exec(text)?.[1];
  return digits === undefined ? undefined : BigInt(`0x${digits}`);
}

function unknown(text: string): string {
  return `"${text}": there is no such command, see "monitor help"\n`;
}

function badNumber(text: string): string {
  return `"${text}": a hexadecimal address is wanted\n`;
}
