#include "pci.h"

#include <stdint.h>

#include "ports.h"
#include "say.h"

// Configuration mechanism 1: the address of a register goes to one port, its content is at another.
#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE 0x80000000u

// Offsets in configuration space, of 32-bit words.
#define ID 0x00         // vendor, device
#define CLASS 0x08      // revision, interface, subclass, class
#define HEADER 0x0c     // third byte: kind of header, bit 7: more functions
#define BRIDGE_BUSES 0x18 // second byte: number of the bus behind the bridge

#define NOTHING 0xffff
#define RED_HAT_VIRTIO 0x1af4
#define VIRTIO_MODERN 0x1040 // + virtio's device type
#define VIRTIO_OLD 0x1000    // devices that still speak the interface before virtio 1
#define HEADER_BRIDGE 1

static uint32_t config_read(uint32_t bus, uint32_t device, uint32_t function, uint32_t offset) {
  outl(CONFIG_ADDRESS, CONFIG_ENABLE | bus << 16 | device << 11 | function << 8 | offset);
  return inl(CONFIG_DATA);
}

// Virtio 1.2, chapter 5: types of devices, from 1 on.
static const char *const virtio_types[] = {
    [1] = "network",   [2] = "block", [3] = "console", [4] = "entropy", [5] = "memory balloon",
    [8] = "SCSI host", [9] = "9P",    [16] = "GPU",    [18] = "input",  [19] = "socket",
    [20] = "crypto",   [25] = "sound", [26] = "folders",
};
// Virtio 1.2, 4.1.2.1: transitional devices, by device ID from 1000h on.
static const uint8_t old_types[] = {1, 2, 5, 3, 8, 4, 0, 0, 0, 9};

static const char *virtio_type(uint32_t device) {
  uint32_t type = 0;
  if (device >= VIRTIO_MODERN) type = device - VIRTIO_MODERN;
  else if (device - VIRTIO_OLD < sizeof old_types) type = old_types[device - VIRTIO_OLD];
  return type < sizeof virtio_types / sizeof *virtio_types ? virtio_types[type] : 0;
}

// Class and subclass (PCI Code and ID Assignment). Subclass FFh stands for those that are not listed.
static const struct {
  uint8_t class, subclass;
  const char *name;
} classes[] = {
    {0x01, 0x01, "IDE controller"},   {0x01, 0x06, "SATA controller"},  {0x01, 0x08, "NVMe controller"},
    {0x01, 0xff, "storage"},          {0x02, 0x00, "Ethernet"},         {0x02, 0xff, "network"},
    {0x03, 0x00, "VGA"},              {0x03, 0xff, "display"},          {0x04, 0xff, "multimedia"},
    {0x06, 0x00, "host bridge"},      {0x06, 0x01, "ISA bridge"},       {0x06, 0x04, "PCI bridge"},
    {0x06, 0xff, "bridge"},           {0x0c, 0x03, "USB controller"},   {0x0c, 0x05, "SMBus controller"},
};

static const char *class_name(uint32_t class, uint32_t subclass) {
  for (unsigned i = 0; i < sizeof classes / sizeof *classes; i++) {
    if (classes[i].class == class && (classes[i].subclass == subclass || classes[i].subclass == 0xff)) {
      return classes[i].name;
    }
  }
  return "device";
}

static void say_function(uint32_t bus, uint32_t device, uint32_t function, uint32_t id, uint32_t class) {
  uint32_t vendor = id & 0xffff, number = id >> 16;
  const char *virtio = vendor == RED_HAT_VIRTIO ? virtio_type(number) : 0;
  say_name("PCI");
  say("%02x:%02x.%u  %04x:%04x  ", bus, device, function, vendor, number);
  if (virtio) say("virtio %s\n", virtio);
  else say("%s\n", class_name(class >> 24, class >> 16 & 255));
}

static void scan(uint32_t bus) {
  for (uint32_t device = 0; device < 32; device++) {
    uint32_t functions = 1;
    for (uint32_t function = 0; function < functions; function++) {
      uint32_t id = config_read(bus, device, function, ID);
      if ((id & 0xffff) == NOTHING) continue;
      uint32_t header = config_read(bus, device, function, HEADER) >> 16 & 255;
      if (header & 0x80) functions = 8;
      say_function(bus, device, function, id, config_read(bus, device, function, CLASS));
      if ((header & 0x7f) != HEADER_BRIDGE) continue;
      uint32_t behind = config_read(bus, device, function, BRIDGE_BUSES) >> 8 & 255;
      if (behind > bus) scan(behind); // numbers rise, so this comes to an end
    }
  }
}

void pci_report(void) { scan(0); }
