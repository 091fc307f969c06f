#include "local_apic.h"

#include "cpu.h"
#include "physical.h"

#define MSR_APIC_BASE 0x1bu
#define APIC_BASE_ADDRESS 0x000ffffffffff000ull

// Offsets of registers.
#define ID 0x20
#define VERSION 0x30
#define TASK_PRIORITY 0x80
#define EOI 0xb0
#define SPURIOUS 0xf0
#define COMMAND_LOW 0x300
#define COMMAND_HIGH 0x310
#define LVT_TIMER 0x320
#define TIMER_INITIAL 0x380
#define TIMER_CURRENT 0x390
#define TIMER_DIVIDE 0x3e0

#define APIC_ENABLED 0x100
#define LVT_MASKED 0x10000
#define LVT_PERIODIC 0x20000
#define DIVIDE_BY_16 0x3
#define COMMAND_INIT 0x4500    // level: assert
#define COMMAND_STARTUP 0x4600 // with the page as vector
#define COMMAND_PENDING 0x1000

static volatile void *apic;

void local_apic_start(void) {
  // All inputs of both 8259s masked: their vectors are what firmware chose, and may be exceptions' numbers.
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
  apic = physical(rdmsr(MSR_APIC_BASE) & APIC_BASE_ADDRESS, 4096);
  write_register(apic, TASK_PRIORITY, 0);
  write_register(apic, LVT_TIMER, LVT_MASKED);
  write_register(apic, SPURIOUS, APIC_ENABLED | VECTOR_SPURIOUS);
}

uint8_t local_apic_id(void) { return (uint8_t)(read_register(apic, ID) >> 24); }

void local_apic_done(void) { write_register(apic, EOI, 0); }

uint32_t local_apic_version(void) { return read_register(apic, VERSION); }

static void send(uint8_t to, uint32_t command) {
  write_register(apic, COMMAND_HIGH, (uint32_t)to << 24);
  write_register(apic, COMMAND_LOW, command); // this write sends
  while (read_register(apic, COMMAND_LOW) & COMMAND_PENDING) __asm__ volatile("pause");
}

void local_apic_send_init(uint8_t to) { send(to, COMMAND_INIT); }

void local_apic_send_startup(uint8_t to, uint8_t page) { send(to, COMMAND_STARTUP | page); }

void local_apic_timer_periodic(uint32_t ticks) {
  write_register(apic, TIMER_DIVIDE, DIVIDE_BY_16);
  write_register(apic, LVT_TIMER, ticks ? LVT_PERIODIC | VECTOR_TIMER : LVT_MASKED);
  write_register(apic, TIMER_INITIAL, ticks); // starts it; 0 stops it
}

void local_apic_timer_measure(void) {
  write_register(apic, TIMER_DIVIDE, DIVIDE_BY_16);
  write_register(apic, LVT_TIMER, LVT_MASKED);
  write_register(apic, TIMER_INITIAL, 0xffffffff);
}

uint32_t local_apic_timer_count(void) { return read_register(apic, TIMER_CURRENT); }
