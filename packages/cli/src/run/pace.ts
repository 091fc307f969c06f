import type { MachineEnd } from '@nest86/machine';

/** What runs, and how far it is. */
export interface Paced {
  run(count: number): MachineEnd;
  /** Instructions of all processors. */
  readonly retired: number;
}

/** Milliseconds of the host that a run should take: nobody waits longer for a key to be seen. */
const wanted = 20;
/** Instructions that always pay for a look at clock and keyboard. */
const fewest = 20_000;

/** Runs a guest in slices by the host's time, whatever its speed is. It decides only when somebody looks: what the guest does is the same. */
export class Pace {
  private count: number = fewest;

  /** @param most instructions of a slice @param now milliseconds of the host */
  constructor(
    private readonly guest: Paced,
    private readonly most: number,
    private readonly now: () => number,
  ) {}

  /** One slice, of so many instructions at most. */
  run(limit: number): MachineEnd {
    const { guest, now } = this;
    const count = Math.min(limit, this.count);
    const [started, before] = [now(), guest.retired];
    const end = guest.run(count);
    const [passed, done] = [now() - started, guest.retired - before];
    // One that ended early, or was told to, says how slow the guest is, not how fast.
    if (passed > wanted) this.count = Math.max(fewest, Math.floor((done * wanted) / passed));
    else if (count === this.count && done >= count) this.count = Math.min(this.most, count * 2);
    return end;
  }

  /**
   * So many instructions, in as many slices as they take.
   *
   * @param wantsEnd asked between slices; then it returns earlier
   * @param rest lets happen between slices what wants to
   */
  async runAll(count: number, wantsEnd: () => boolean, rest: () => Promise<void>): Promise<MachineEnd> {
    const last = this.guest.retired + count;
    for (;;) {
      const before = this.guest.retired;
      const end = this.run(last - before);
      const { retired } = this.guest;
      if (end.reason !== 'limit' || retired >= last || retired === before || wantsEnd()) return end;
      await rest();
    }
  }
}
