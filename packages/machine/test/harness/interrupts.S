        # A guest whose every instruction counts: two processors, interrupts of the 8254 through the 8259, of both APICs' timers and between the processors, waits,
        # RDTSC and RDRAND that go into a sum. It ends by itself, at 40 ticks of the 8254. A flat multiboot image, built by
        #   gcc -m32 -nostdlib -no-pie -Wl,-Ttext=0x100000 -Wl,--build-id=none -Wl,-e,entry -o interrupts.elf interrupts.S && objcopy -O binary -j .text interrupts.elf interrupts.bin
        .intel_syntax noprefix
        .code32
        .globl _start, entry
_start:
        .align 4
        .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000), _start, _start, end, end, entry
entry:  cli
        mov     esp, 0x7000
        lgdt    [gdtr]
        jmp     8:1f
1:      mov     ax, 16
        mov     ds, ax
        mov     ss, ax
        mov     es, ax
        mov     edi, 0x9000
        mov     ecx, 16
        xor     eax, eax
        rep     stosd
        # gates for the 8259's timer, the APIC's and the message between processors
        mov     eax, offset pit
        mov     edi, 0x2000 + 0x20 * 8
        call    gate
        mov     eax, offset timer
        mov     edi, 0x2000 + 0x30 * 8
        call    gate
        mov     eax, offset message
        mov     edi, 0x2000 + 0x31 * 8
        call    gate
        lidt    [idtr]
        # 8259s: vectors from 20h and 28h on, all masked but IRQ 0
        mov     al, 0x11
        out     0x20, al
        out     0xa0, al
        mov     al, 0x20
        out     0x21, al
        mov     al, 0x28
        out     0xa1, al
        mov     al, 4
        out     0x21, al
        mov     al, 2
        out     0xa1, al
        mov     al, 1
        out     0x21, al
        out     0xa1, al
        mov     al, 0xfe
        out     0x21, al
        mov     al, 0xff
        out     0xa1, al
        # 8254: counter 0, mode 2, every 100 us
        mov     al, 0x34
        out     0x43, al
        mov     al, 119
        out     0x40, al
        xor     eax, eax
        out     0x40, al
        # the other processor: INIT, then its code at 8000h
        mov     esi, offset trampoline
        mov     edi, 0x8000
        mov     ecx, offset trampoline_end - trampoline
        rep     movsb
        mov     dword ptr [0xfee00310], 0x01000000
        mov     dword ptr [0xfee00300], 0x4500
        mov     dword ptr [0xfee00300], 0x4608
        mov     eax, 13000
        call    local
main:   call    mix
        inc     ebx
        test    ebx, 63
        jnz     2f
        mov     dword ptr [0xfee00310], 0x01000000
        mov     dword ptr [0xfee00300], 0x31
        mov     al, 'x'
        mov     dx, 0x3f8
        out     dx, al
2:      test    ebx, 15
        jnz     3f
        hlt
3:      cmp     dword ptr [0x9000], 40
        jb      main
        mov     eax, 16
        mov     dx, 0xf4
        out     dx, eax
4:      hlt
        jmp     4b

        # EAX: handler, EDI: gate
gate:   mov     [edi], ax
        mov     word ptr [edi + 2], 8
        mov     word ptr [edi + 4], 0x8e00
        shr     eax, 16
        mov     [edi + 6], ax
        ret

        # the APIC's timer, periodic. EAX: count
local:  mov     dword ptr [0xfee000f0], 0x1ff
        mov     dword ptr [0xfee003e0], 0xb
        mov     dword ptr [0xfee00320], 0x20030
        mov     [0xfee00380], eax
        sti
        ret

        # what time and chance say goes into a word
mix:    rdtsc
        add     eax, [0x9010]
        rol     eax, 7
        mov     [0x9010], eax
        rdrand  edx
        lock xadd [0x9014], edx
        fld     dword ptr [0x9018]
        fadd    st, st
        fstp    dword ptr [0x901c]
        ret

pit:    push    eax
        inc     dword ptr [0x9000]
        mov     al, 0x20
        out     0x20, al
        pop     eax
        iret
timer:  lock inc dword ptr [0x9004]
        mov     dword ptr [0xfee000b0], 0
        iret
message: lock inc dword ptr [0x9008]
        mov     dword ptr [0xfee000b0], 0
        iret

second: mov     ax, 16
        mov     ds, ax
        mov     ss, ax
        mov     es, ax
        mov     esp, 0x6000
        lidt    [idtr]
        mov     eax, 17000
        call    local
5:      call    mix
        inc     ebx
        test    ebx, 7
        jnz     5b
        hlt
        jmp     5b

        .code16
trampoline:
        cli
        xor     ax, ax
        mov     ds, ax
        data32 lgdt [gdtr16 - trampoline + 0x8000]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        data32 ljmp 8, offset second
gdtr16: .word 23
        .long gdt
trampoline_end:
        .code32
        .align 8
gdt:    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:   .word 23
        .long gdt
idtr:   .word 0x40 * 8 - 1
        .long 0x2000
end:
