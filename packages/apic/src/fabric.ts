import { DeliveryMode, type MessageSink } from './delivery.ts';
import type { LocalApic } from './local-apic/local-apic.ts';
import type { ApicBus } from './local-apic/parts.ts';
import { Command, Lvt, Shorthand } from './registers.ts';

/** What hears of ended interrupts: I/O APICs. */
export interface EndOfInterruptListener {
  endOfInterrupt(vector: number): void;
}

const allIds = 0xffff_ffff;

/**
 * What connects local APICs, I/O APICs and devices: finds out who is meant by a message and gives it to them, at once. Has no state of its
 * own. Of those who could get an interrupt of lowest priority it takes the one whose processor priority is lowest, and of equals the one
 * with the lowest id, so that runs repeat.
 */
export class InterruptFabric implements ApicBus, MessageSink {
  /** By ascending id. */
  private readonly apics: LocalApic[] = [];
  private readonly byId: Map<number, LocalApic> = new Map();
  private readonly listeners: EndOfInterruptListener[] = [];

  /** @throws RangeError if the id is taken */
  add(apic: LocalApic): void {
    if (this.byId.has(apic.id)) throw new RangeError(`there is a local APIC ${apic.id} already`);
    this.byId.set(apic.id, apic);
    this.apics.push(apic);
    this.apics.sort((a, b) => a.id - b.id);
  }

  addIoApic(ioApic: EndOfInterruptListener): void {
    this.listeners.push(ioApic);
  }

  deliver(destination: number, isLogical: boolean, mode: number, vector: number, isLevel: boolean): boolean {
    // Only processors start processors.
    if (mode === DeliveryMode.startUp) return false;
    return this.route(destination === 0xff ? allIds : destination, isLogical, mode, vector, isLevel, -1);
  }

  /**
   * A device writes a message-signalled interrupt (SDM vol. 3, 12.11). The destination mode is taken as the address says, whatever the
   * redirection hint: Linux relies on that, as on hardware.
   *
   * @param address guest-physical
   * @param data 32 bits, of which 16 count
   * @returns whether the address is one for such messages: FEExxxxxh
   */
  deliverMsi(address: number, data: number): boolean {
    // Addresses of 4 GiB and more may not be cut to 32 bits.
    if (address < 0xfee0_0000 || address > 0xfeef_ffff) return false;
    const isLevel = (data & Command.level) !== 0;
    if (isLevel && (data & Command.assert) === 0) return true;
    const destination = (address >>> 12) & 0xff;
    const isLogical = (address & 4) !== 0;
    const given = (data >> 8) & 7;
    // The redirection hint asks for one of those that are named.
    const isHinted = (address & 8) !== 0 && given === DeliveryMode.fixed;
    const mode = isHinted ? DeliveryMode.lowestPriority : given;
    this.deliver(destination, isLogical, mode, data & 0xff, isLevel);
    return true;
  }

  sendIpi(source: number, command: number, destination: number, isWide: boolean): void {
    const mode = (command & Lvt.deliveryMode) >> 8;
    const vector = command & 0xff;
    // Neither remote reads nor ExtINT can be sent by processors.
    if (mode === DeliveryMode.extInt) return;
    switch ((command >> Command.shorthandShift) & 3) {
      case Shorthand.self:
        this.byId.get(source)?.accept(mode, vector, false);
        break;
      case Shorthand.all:
        this.route(allIds, false, mode, vector, false, -1);
        break;
      case Shorthand.others:
        this.route(allIds, false, mode, vector, false, source);
        break;
      default: {
        const isBroadcast = !isWide && destination === 0xff;
        const isLogical = (command & Command.logical) !== 0;
        this.route(isBroadcast ? allIds : destination, isLogical, mode, vector, false, -1);
      }
    }
  }

  endOfInterrupt(vector: number): void {
    for (const listener of this.listeners) listener.endOfInterrupt(vector);
  }

  /** @param except id of who gets nothing, -1: nobody @returns whether an APIC took it */
  private route(
    destination: number,
    isLogical: boolean,
    mode: number,
    vector: number,
    isLevel: boolean,
    except: number,
  ): boolean {
    const isAll = destination === allIds;
    let isTaken = false;
    let lowest: LocalApic | undefined;
    for (const apic of this.apics) {
      if (apic.id === except) continue;
      if (!isAll && !(isLogical ? apic.matchesLogical(destination) : apic.matchesPhysical(destination)))
        continue;
      if (mode !== DeliveryMode.lowestPriority) isTaken = apic.accept(mode, vector, isLevel) || isTaken;
      else if (
        apic.acceptsFixed &&
        (lowest === undefined || apic.processorPriority < lowest.processorPriority)
      )
        lowest = apic;
    }
    return lowest === undefined ? isTaken : lowest.accept(mode, vector, isLevel);
  }
}
