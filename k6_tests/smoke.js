// Every operation of the API once through each gateway, in seconds. It asks whether they work together, not how fast: its
// limit is loose enough for a build without optimisation on a busy machine.

import exec from 'k6/execution';

import { Client, Unexpected, report, tagOf } from './lib/client.js';
import { OPERATIONS } from './lib/operations.js';
import { hex } from './lib/random.js';
import { limits, results } from './lib/results.js';
import { common, limit, requireUrls, urls } from './lib/settings.js';

const P95 = limit(5000);

export const options = {
    ...common,
    scenarios: { smoke: { executor: 'per-vu-iterations', vus: Math.max(urls.length, 1), iterations: 1, maxDuration: '2m' } },
    thresholds: limits('smoke', P95),
};

const called = new Set();

class NotingClient extends Client {
    prepare(operation, options) {
        called.add(operation);
        return super.prepare(operation, options);
    }
}

export function setup() {
    requireUrls();
}

export default function () {
    const client = new NotingClient(urls[exec.vu.idInTest - 1]);
    try {
        visitPublicPages(client);
        haveAnAccount(client, () => {
            keepLists(client);
            keepTodos(client);
        });
        compare(client.send('GET /openapi.json').json('paths'));
    } catch (error) {
        if (!(error instanceof Unexpected)) report('script', error.message, error.stack);
    }
}

function visitPublicPages(client) {
    for (const path of ['/', '/health', '/livez', '/readyz', '/docs', '/docs/style.css', '/.well-known/jwks.json']) {
        client.send(`GET ${path}`);
    }
    client.send('GET /problems/{code}', { segment: 'not_found' });
}

// An account with two sessions that gets a new password and is deleted at the end, whatever happens in between.
function haveAnAccount(client, then) {
    const email = `smoke-${hex(8)}@example.org`;
    let password = hex(16);
    client.register(email, password);
    try {
        const other = new NotingClient(client.url);
        other.signIn(email, password);
        other.refresh();
        other.signOut();
        other.signIn(email, password);
        const sessions = client.send('GET /v1/sessions').json('data');
        client.send('DELETE /v1/sessions/{id}', { segment: sessions.find((session) => !session.current).id, expect: [204] });
        client.send('DELETE /v1/sessions', { expect: [204] });
        client.send('GET /v1/me');
        client.send('PATCH /v1/me', { body: { display_name: 'Smoke' } });
        then();
        const body = { current_password: password, new_password: hex(16) };
        client.send('POST /v1/auth/password', { body, expect: [204] });
        password = body.new_password;
    } finally {
        client.send('DELETE /v1/me', { body: { password }, expect: [204] });
    }
    client.tokens = null;
}

function keepLists(client) {
    client.send('GET /v1/lists');
    const made = client.send('POST /v1/lists', { body: { name: 'Smoke' }, expect: [201] });
    const segment = made.json('id');
    client.send('GET /v1/lists/{id}', { segment, ifNoneMatch: tagOf(made), expect: [304] });
    const renamed = client.send('PATCH /v1/lists/{id}', { segment, body: { name: 'Fire' }, ifMatch: tagOf(made) });
    client.send('DELETE /v1/lists/{id}', { segment, ifMatch: tagOf(renamed), expect: [204] });
}

function keepTodos(client) {
    const made = client.send('POST /v1/todos', { body: { title: 'Look for fire' }, expect: [201] });
    const segment = made.json('id');
    client.send('GET /v1/todos', { query: 'limit=10' });
    client.send('GET /v1/todos/{id}', { segment, ifNoneMatch: tagOf(made), expect: [304] });
    const done = client.send('PATCH /v1/todos/{id}', { segment, body: { status: 'done' }, ifMatch: tagOf(made) });
    client.send('PATCH /v1/todos/{id}', { segment, body: { title: 'Lost' }, ifMatch: tagOf(made), expect: [412] });
    client.send('DELETE /v1/todos/{id}', { segment, ifMatch: tagOf(done), expect: [204] });
    client.send('POST /v1/todos/{id}/restore', { segment });
}

// The service says itself which operations it has. A new one that nobody loads is an error here.
function compare(paths) {
    const documented = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
    const lists = [
        ['is not in k6_tests/lib/operations.js', documented.filter((operation) => !OPERATIONS.includes(operation))],
        ['is not in the service', OPERATIONS.filter((operation) => !documented.includes(operation))],
        ['was not called', OPERATIONS.filter((operation) => !called.has(operation))],
    ];
    for (const [what, operations] of lists) {
        for (const operation of operations) report(operation, what, '/openapi.json is compared');
    }
}

export function handleSummary(data) {
    return results(data, { scenario: 'smoke', p95: P95 });
}
