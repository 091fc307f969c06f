import type { ApicPage } from './page.ts';
import { Register } from './registers.ts';

// Priorities and the life of an interrupt, over any page of APIC registers (SDM vol. 3, 12.8; APM vol. 2, 16.6).

/** @param base {@link Register} `request`, `inService` or `triggerMode` @returns the highest vector that is set, -1 if none is */
export function highestVector(page: ApicPage, base: number): number {
  for (let index = 7; index >= 0; index--) {
    const word = page.read(base + (index << 4));
    if (word !== 0) return (index << 5) + 31 - Math.clz32(word);
  }
  return -1;
}

export function hasVector(page: ApicPage, base: number, vector: number): boolean {
  return (page.read(base + ((vector >> 5) << 4)) & (1 << (vector & 31))) !== 0;
}

/** @returns whether it was set before */
export function setVector(page: ApicPage, base: number, vector: number): boolean {
  const bit = 1 << (vector & 31);
  return (page.atomicOr(base + ((vector >> 5) << 4), bit) & bit) !== 0;
}

/** @returns whether it was set before */
export function clearVector(page: ApicPage, base: number, vector: number): boolean {
  const bit = 1 << (vector & 31);
  return (page.atomicAnd(base + ((vector >> 5) << 4), ~bit) & bit) !== 0;
}

/**
 * Processor priority from task priority and highest vector in service. Where both are in one class the manual leaves bits 3:0 to the
 * processor: here they are the task priority's.
 *
 * @param inService -1: none
 */
export function processorPriority(taskPriority: number, inService: number): number {
  const service = inService < 0 ? 0 : inService & 0xf0;
  return (taskPriority & 0xf0) >= service ? taskPriority & 0xff : service;
}

/** Writes the processor priority into the page. @returns it */
export function updateProcessorPriority(page: ApicPage, inService: number): number {
  const priority = processorPriority(page.read(Register.taskPriority), inService);
  page.write(Register.processorPriority, priority);
  return priority;
}

/** Whether a requested vector is above a processor priority. @param request -1: none */
export function isAbove(request: number, priority: number): boolean {
  return request >> 4 > priority >> 4;
}

/** A vector is requested: IRR, and TMR as its trigger says. @returns whether it was requested already */
export function requestVector(page: ApicPage, vector: number, isLevel: boolean): boolean {
  const wasRequested = setVector(page, Register.request, vector);
  // TMR is changed where it differs only: level-triggered interrupts are rare.
  if (hasVector(page, Register.triggerMode, vector) !== isLevel) {
    if (isLevel) setVector(page, Register.triggerMode, vector);
    else clearVector(page, Register.triggerMode, vector);
  }
  return wasRequested;
}

/** The processor takes a requested vector: from IRR to ISR. */
export function beginService(page: ApicPage, vector: number): void {
  clearVector(page, Register.request, vector);
  setVector(page, Register.inService, vector);
}
