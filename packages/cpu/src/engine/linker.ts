import { Instruction } from '@nest86/decoder';
import { ControlFlow, controlFlow } from '@nest86/decoder/info';
import { Row, record } from '../records/layout.ts';
import type { VcpuState } from '../state/vcpu-state.ts';
import { type Block, maximumBlock } from './code-cache.ts';
import type { CodeFinder } from './code-finder.ts';
import type { Engine } from './engine.ts';

/** Links records to the records they lead to, so that generated code stays among itself. */
export class Linker {
  /** Where the last {@link follow} led. */
  ripLow = 0;
  ripHigh = 0;
  /** That was a branch, to where nothing can be: {@link undo} must follow. */
  isForbidden = false;
  private isCall = false;
  /** Offset of the instruction behind the branch, in the branch's page. */
  private next = 0;
  private readonly instruction = new Instruction();

  constructor(
    private readonly engine: Engine,
    private readonly state: VcpuState,
    private readonly finder: CodeFinder,
  ) {}

  /**
   * Where a direct branch that is taken for the first time leads, or a block's end.
   * @param field of the record that is to be linked: `immediate` of branches that are taken and of block ends
   */
  follow(rec: number, field: number): void {
    const { engine, state, finder, instruction } = this;
    const { view } = engine;
    const position = view.getUint16(rec + record.position, true);
    const offset = position & 0xfff;
    const baseLow = state.low('instructionBase');
    const baseHigh = state.high('instructionBase');
    this.next = offset + (position >>> 12);
    this.isCall = false;
    // As a distance from 2^32 times the high half: exact, since both are far below 2^53.
    let target = (baseLow >>> 0) + this.next;
    // What follows in line is not cut off to 16 bits.
    let bits = finder.is64 ? 64 : 32;
    const isBranch = field === record.immediate && view.getUint16(rec + record.handler, true) !== Row.end;
    if (isBranch) {
      finder.decode((baseLow + offset) | 0, baseHigh, instruction);
      target += instruction.immediate;
      bits = instruction.operandSize;
      this.isCall = controlFlow(instruction.encoding) === ControlFlow.call;
    }
    this.ripLow = bits === 16 ? target & 0xffff : target | 0;
    this.ripHigh = bits === 64 ? (baseHigh + Math.floor(target / 2 ** 32)) | 0 : 0;
    this.isForbidden = isBranch && !this.isReachable();
  }

  /** Takes back what the forbidden branch has done: CALL's push, the count of LOOP. */
  undo(): void {
    const { state, finder, instruction } = this;
    if (this.isCall) add(state, 4, finder.mode.stackAddressBits, instruction.operandSize / 8);
    else if (instruction.opcode >= 0xe0 && instruction.opcode <= 0xe2)
      add(state, 1, instruction.addressSize, 1);
  }

  /** Links a record to where {@link follow} led, if that can be fetched; the finder knows if not. */
  link(rec: number, field: number): void {
    const { engine, finder, ripLow, ripHigh } = this;
    finder.hasFault = false;
    const source = engine.code.blockOf(rec);
    if (source === undefined || !source.isValid || !this.isReachable()) return;
    // Each translation may forget everything, and the branch's record with it.
    const { flushes } = engine.code;
    if (this.isCall) this.linkReturn(rec, source);
    if (engine.code.flushes !== flushes) return;
    const fromLow = finder.pageLow;
    const fromHigh = finder.pageHigh;
    const block = finder.find(ripLow, ripHigh, maximumBlock);
    if (block === undefined || !block.isValid || engine.code.flushes !== flushes) return;
    if (engine.code.blockOf(block.record) !== block || !source.isValid) return;
    let link = block.record;
    if (block.secondPage >= 0) {
      link = this.edge(source, Row.cross, block.start, link, 0, block.secondPage);
      if (link === 0) return;
    }
    if (finder.pageLow !== fromLow || finder.pageHigh !== fromHigh) {
      const delta = (finder.pageLow >>> 0) - (fromLow >>> 0) + (finder.pageHigh - fromHigh) * 2 ** 32;
      if (Math.abs(delta) >= 2 ** 31) return;
      link = this.edge(source, Row.page, block.start, link, delta, block.page);
    }
    if (link === 0) return;
    engine.view.setInt32(rec + field, link, true);
    engine.code.noteComer(block, source);
  }

  /** Whether the target is within the limit, or canonical. */
  private isReachable(): boolean {
    const { mode, is64 } = this.finder;
    if (!is64) return this.ripLow >>> 0 <= mode.codeLimit;
    const top = this.ripHigh >> (mode.linearBits - 33);
    return top === 0 || top === -1;
  }

  /** A record between two blocks; 0 if there is no room. */
  private edge(
    source: Block,
    row: number,
    start: number,
    target: number,
    delta: number,
    host: number,
  ): number {
    const { code, view } = this.engine;
    const edge = code.extraRecord(source);
    if (edge === 0) return 0;
    view.setUint16(edge + record.handler, row, true);
    view.setUint16(edge + record.position, start, true);
    view.setInt32(edge + record.target, target, true);
    view.setInt32(edge + record.displacement, delta, true);
    view.setInt32(edge + record.immediate, host, true);
    return edge;
  }

  /** The block behind a call is translated with it, so that the return finds it. */
  private linkReturn(rec: number, source: Block): void {
    const block = this.finder.following(source.page, this.next);
    if (block === undefined || block.secondPage >= 0 || !source.isValid) return;
    this.engine.view.setInt32(rec + record.displacement, block.record, true);
  }
}

/** Adds to a general register of the given width; a result of 32 bits clears the upper half. */
function add(state: VcpuState, register: number, bits: number, step: number): void {
  const low = state.low('gpr', register);
  const high = state.high('gpr', register);
  const sum = (low >>> 0) + step;
  if (bits === 16) state.setPair('gpr', (low & ~0xffff) | (sum & 0xffff), high, register);
  else
    state.setPair(
      'gpr',
      sum | 0,
      bits === 64 && sum > 0xffffffff ? (high + 1) | 0 : bits === 64 ? high : 0,
      register,
    );
}
