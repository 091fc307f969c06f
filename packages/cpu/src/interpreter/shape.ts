/** Byte field of a record that names a register. */
export type RegisterField = 'a' | 'b' | 'base' | 'index' | 'last';

/** How an operand of a handler is encoded in its record; with the mnemonic it decides which handler. */
export type OperandShape =
  /** General register; the field is a byte offset into the state. */
  | { readonly kind: 'register'; readonly bits: number; readonly field: RegisterField }
  /** Register of another class, by number. MMX and x87: 64 and 80 bits. */
  | {
      readonly kind: 'vector' | 'mmx' | 'x87' | 'opmask' | 'segment';
      readonly bits: number;
      readonly field: RegisterField;
    }
  | { readonly kind: 'memory'; readonly bits: number }
  /** Memory that no ModRM byte names (string instructions): the definition knows the address. */
  | { readonly kind: 'implicit'; readonly bits: number }
  /** Sign-extended from the record's 32 bits to `bits`; `value` where the definition needs it when it is built. */
  | {
      readonly kind: 'immediate';
      readonly bits: number;
      readonly field: 'immediate' | 'displacement' | 'both';
      readonly value: number | undefined;
    }
  | { readonly kind: 'relative' };

export interface MemoryShape {
  /** 16, 32 or 64. */
  readonly addressBits: number;
  /** log2 of the scale, or -1 without index. */
  readonly scale: number;
  /** Number of the segment: ES CS SS DS FS GS. */
  readonly segment: number;
  /** Index is a vector register (VSIB). */
  readonly isVectorIndex: boolean;
  /** The 64-bit address is in the record: MOV with an offset. */
  readonly isAbsolute: boolean;
}

/** What of the processor's mode decides how a handler works. */
export interface ModeShape {
  /** 16, 32 or 64: the code segment's default size. */
  readonly bits: 16 | 32 | 64;
  /** Width of the stack pointer. */
  readonly stackAddressBits: 16 | 32 | 64;
  /** DS, ES and SS cover all 4 GiB from 0, writable; or 64-bit code. */
  readonly isFlat: boolean;
  /** Bits of a canonical address, 48 or 57, in 64-bit code. */
  readonly linearBits: 48 | 57;
  /** Unaligned accesses raise #AC: CPL 3, CR0.AM, EFLAGS.AC. */
  readonly checksAlignment: boolean;
  /** Whose processor this is: the same in all modes of an engine. */
  readonly vendor: 'intel' | 'amd';
}

export interface HandlerShape {
  readonly mnemonic: string;
  readonly operands: readonly OperandShape[];
  readonly memory: MemoryShape | undefined;
  readonly mode: ModeShape;
  /** Operand size of the instruction: stack operations, branch targets, string elements follow it where their definition says so. */
  readonly operandBits: number;
  /** 0 legacy, 1 VEX or XOP, 2 EVEX. */
  readonly encoding: 0 | 1 | 2;
  /** Bytes of the vectors, 16 or 32 (64), for VEX. */
  readonly vectorBytes: number;
  /** 0, 1 REP or REPE, 2 REPNE. */
  readonly repeat: 0 | 1 | 2;
  /** Memory operands of 16 bytes or more must be aligned. */
  readonly needsAlignment: boolean;
}

const letters = {
  register: 'r',
  vector: 'v',
  mmx: 'mm',
  x87: 'st',
  opmask: 'k',
  segment: 's',
  memory: 'm',
  implicit: 'n',
} as const;

/** A name for tables and dumps: `ADD r64a,m64 [64*4 s3] 64f64`. */
export function shapeName(shape: HandlerShape): string {
  const operands = shape.operands.map((operand) => {
    if (operand.kind === 'relative') return 'rel';
    if (operand.kind === 'immediate')
      return `i${operand.bits}${operand.field === 'immediate' ? '' : operand.field[0]}${operand.value === undefined ? '' : `=${operand.value}`}`;
    const field = 'field' in operand ? operand.field : '';
    return `${letters[operand.kind]}${operand.bits}${field}`;
  });
  const { memory, mode } = shape;
  const address =
    memory === undefined
      ? ''
      : ` [${memory.isAbsolute ? 'o' : ''}${memory.addressBits}${memory.scale < 0 ? '' : `*${1 << memory.scale}`}${memory.isVectorIndex ? 'v' : ''}s${memory.segment}]`;
  const flat = mode.isFlat ? 'f' : 'c';
  const extras = `${'lve'[shape.encoding]}${shape.vectorBytes}${['', ' rep', ' repne'][shape.repeat]}${shape.needsAlignment ? ' aligned' : ''}${mode.checksAlignment ? ' ac' : ''}`;
  return `${shape.mnemonic} ${operands.join()}${address} ${mode.bits}${mode.linearBits === 57 ? 'la57' : ''}${flat}${mode.stackAddressBits}/${shape.operandBits} ${extras}`;
}
