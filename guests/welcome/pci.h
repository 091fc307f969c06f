// The devices that PCI finds.
#ifndef WELCOME_PCI_H
#define WELCOME_PCI_H

/** A line for each function of each device. */
void pci_report(void);

#endif
