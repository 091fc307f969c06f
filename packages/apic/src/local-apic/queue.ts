import type { ApicPage } from '../page.ts';
import {
  beginService,
  clearVector,
  highestVector,
  isAbove,
  requestVector,
  updateProcessorPriority,
} from '../priority.ts';
import { Register } from '../registers.ts';

/** The vectors of a page that wait or are in service, with the highest of each kept, so that nothing is searched between instructions. */
export class InterruptQueue {
  /** Processor priority, as the page has it too. */
  priority = 0;
  /** Whether a vector is above it. */
  isDue = false;
  /** Highest vector in IRR, -1: none. */
  private request = -1;
  /** Highest vector in ISR, -1: none. */
  private service = -1;

  constructor(private readonly page: ApicPage) {}

  /** The page has changed as a whole. */
  reload(): void {
    this.request = highestVector(this.page, Register.request);
    this.service = highestVector(this.page, Register.inService);
    this.updatePriority();
  }

  /** @param vector 16 to 255 */
  add(vector: number, isLevel: boolean): void {
    requestVector(this.page, vector, isLevel);
    if (vector > this.request) this.request = vector;
    this.isDue = isAbove(this.request, this.priority);
  }

  /** The vector that is due goes into service. @returns it */
  take(): number {
    const { page, request } = this;
    beginService(page, request);
    this.service = request;
    this.request = highestVector(page, Register.request);
    this.updatePriority();
    return request;
  }

  /** Ends the highest vector in service. @returns it; -1 if none was */
  end(): number {
    const { page, service } = this;
    if (service < 0) return -1;
    clearVector(page, Register.inService, service);
    this.service = highestVector(page, Register.inService);
    this.updatePriority();
    return service;
  }

  /** The task priority, or what is in service, has changed. */
  updatePriority(): void {
    this.priority = updateProcessorPriority(this.page, this.service);
    this.isDue = isAbove(this.request, this.priority);
  }
}
