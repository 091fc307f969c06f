import { type Compiler, type Value, ValueType, type Variable } from '@nest86/wasm';

/** An access whose page was found in the fast TLB, during the same stay in the region: it still is there (engine-decision E). */
interface Fact {
  /** See `Compiler.originOf`. */
  readonly root: number;
  readonly distance: number;
  readonly bytes: number;
  readonly isWrite: boolean;
  /** Which pair of variables holds the address and the host address. */
  readonly place: number;
}

/** What is known at a place of the code. */
export type KnownAccesses = readonly Fact[];

/** Facts that are kept at a time: each may cost two registers. */
const places = 4;
const pageSize = 4096;

/**
 * Accesses that the code before has checked, so that another one near it needs no look into the TLB: if both lie in one page, which two instructions
 * tell, its host address is as far from the other's as the addresses are.
 */
export class AccessFacts {
  private readonly addresses: readonly Variable[];
  private readonly hosts: readonly Variable[];
  private facts: Fact[] = [];
  private next = 0;

  constructor(private readonly x: Compiler) {
    this.addresses = Array.from({ length: places }, () => x.variable(ValueType.i64));
    this.hosts = Array.from({ length: places }, () => x.variable(ValueType.i32));
  }

  /** At a place that is come to from where `known` was true; none: from several. */
  start(known: KnownAccesses | undefined): void {
    this.facts = [...(known ?? [])];
  }

  get known(): KnownAccesses {
    return [...this.facts];
  }

  /**
   * The host address, i32, of bytes at a linear address.
   * @param check finds it by the TLB, or leaves
   */
  host(address: Value, bytes: number, isWrite: boolean, check: () => Value): Variable {
    const { x } = this;
    const host = x.temporary(ValueType.i32);
    const origin = x.originOf(address);
    const fact = origin && this.find(origin, bytes, isWrite);
    if (origin === undefined || fact === undefined) x.write(host, check());
    else {
      const delta = origin.distance - fact.distance;
      const near = (): void => x.write(host, x.add(x.read(this.hosts[fact.place]), x.i32(delta)));
      if (delta >= 0 && delta + bytes <= fact.bytes) near();
      else {
        // The byte that is farthest from the other access.
        const far = delta < 0 || bytes === 1 ? address : x.add(address, x.i64(bytes - 1));
        const difference = x.xor(far, x.read(this.addresses[fact.place]));
        x.if(x.ltU(difference, x.i64(pageSize)), near, () => x.write(host, check()), true);
      }
    }
    if (origin !== undefined && !x.isNested)
      this.keep({ ...origin, bytes, isWrite, place: 0 }, address, host);
    return host;
  }

  private find(
    origin: { root: number; distance: number },
    bytes: number,
    isWrite: boolean,
  ): Fact | undefined {
    let best: Fact | undefined;
    for (const fact of this.facts) {
      // What may be written may be read.
      if (fact.root !== origin.root || (isWrite && !fact.isWrite)) continue;
      const delta = origin.distance - fact.distance;
      if (Math.abs(delta) >= pageSize || (delta < 0 && delta + bytes > fact.bytes)) continue;
      if (delta >= 0 && delta + bytes <= fact.bytes) return fact;
      best = fact;
    }
    return best;
  }

  private keep(fact: Fact, address: Value, host: Variable): void {
    const { x, facts } = this;
    const old = facts.findIndex(({ root, isWrite }) => root === fact.root && isWrite === fact.isWrite);
    const taken = old >= 0 ? facts[old].place : this.next++ % places;
    this.facts = facts.filter(({ place }) => place !== taken);
    this.facts.push({ ...fact, place: taken });
    x.write(this.addresses[taken], address);
    x.write(this.hosts[taken], x.read(host));
  }
}
