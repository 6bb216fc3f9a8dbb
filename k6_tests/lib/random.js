// Choices that can be repeated: a generator for each user, which its seed determines (mulberry32). Math.random of k6 cannot
// be seeded.

import { randomBytes } from 'k6/crypto';

const WORDS = 'call buy write read plan fix clean book send ask check pay answer bring paint plant review order water move milk bread report letter invoice garden window bicycle ticket doctor school meeting present kitchen roof train photo insurance library birthday recipe'.split(' ');

export class Random {
    constructor(seed, stream) {
        this.state = (Math.imul(seed, 2654435761) ^ Math.imul(stream, 40503)) >>> 0;
    }

    // From 0 to below 1.
    next() {
        this.state = (this.state + 0x6d2b79f5) >>> 0;
        let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    }

    between(least, most) {
        return least + this.next() * (most - least);
    }

    pick(items) {
        return items[Math.floor(this.next() * items.length)];
    }

    // One of entries that have a share of a hundred.
    share(entries) {
        let rest = this.next() * 100;
        return entries.find((entry) => (rest -= entry.share) < 0) || entries[entries.length - 1];
    }

    words(least, most) {
        const words = [];
        for (let left = Math.round(this.between(least, most)); left > 0; left--) {
            words.push(this.pick(WORDS));
        }
        return words.join(' ');
    }
}

// Octets that nobody can guess and no seed repeats, for passwords and names.
export function hex(length) {
    return Array.from(new Uint8Array(randomBytes(length)), (octet) => octet.toString(16).padStart(2, '0')).join('');
}
