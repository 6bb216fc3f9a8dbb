// The ramp: to 100 users, some time there, to 200, some time there, and down. Each user works on lists and todos of its
// own through one of the gateways, about one action in a second.

import exec from 'k6/execution';
import { sleep } from 'k6';

import { deleteAccounts, makeAccounts } from './lib/accounts.js';
import { Unexpected, report } from './lib/client.js';
import { Random } from './lib/random.js';
import { limits, results } from './lib/results.js';
import { common, limit, requireUrls, scale, seed, users } from './lib/settings.js';
import { User } from './lib/user.js';

// Minutes, and the users at their end in parts of all.
const STAGES = [
    [2, 0.5],
    [5, 0.5],
    [2, 1],
    [5, 1],
    [2, 0],
];
const SECONDS = STAGES.reduce((sum, [minutes]) => sum + minutes * 60 * scale, 0);
const P95 = limit(500);

// Seconds from one action of a user to the next.
const PAUSE = [0.5, 1.5];

// Actions from one line about the run to the next.
const LINE_EVERY = 5000;

export const options = {
    ...common,
    scenarios: {
        users: {
            executor: 'ramping-vus',
            startVUs: 0,
            stages: STAGES.map(([minutes, part]) => ({ duration: `${Math.round(minutes * 60000 * scale)}ms`, target: Math.ceil(part * users) })),
            gracefulRampDown: '35s',
        },
    },
    thresholds: limits('users', P95),
};

export function setup() {
    requireUrls();
    console.log(`  making ${users} accounts`);
    const accounts = makeAccounts(users);
    console.log(`  the ramp to ${users} users takes ${clock(SECONDS)}`);
    return { accounts, begin: Date.now() / 1000 };
}

// The user of this VU, over all its iterations.
let user;

export default function ({ accounts }) {
    const id = exec.vu.idInTest;
    user = user || new User(accounts[id - 1], new Random(seed, id));
    const actions = exec.scenario.iterationInTest;
    if (actions % LINE_EVERY === 0 && actions > 0) {
        console.log(`  ${clock(SECONDS * exec.scenario.progress)} of ${clock(SECONDS)}: ${exec.instance.vusActive} users, ${actions} actions`);
    }
    try {
        user.act();
    } catch (error) {
        if (!(error instanceof Unexpected)) report('script', error.message, error.stack);
        user.forget();
    }
    sleep(user.random.between(...PAUSE));
}

export function teardown({ accounts }) {
    console.log('  deleting the accounts');
    deleteAccounts(accounts);
}

export function handleSummary(data) {
    return results(data, { scenario: 'users', p95: P95, seconds: SECONDS, begin: data.setup_data && data.setup_data.begin });
}

function clock(seconds) {
    return `${Math.floor(seconds / 60)}m${String(Math.floor(seconds % 60)).padStart(2, '0')}s`;
}
