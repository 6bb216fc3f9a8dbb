// The accounts of a run: made before it, with something in them, and deleted after it. An account costs the service a
// password hash when it is made and one when it is deleted, so that they are made once and a few at a time.

import { Client, together } from './client.js';
import { Random, hex } from './random.js';
import { seed, urls } from './settings.js';

// Requests at the same time. Three replicas hash two passwords each at once.
const AT_ONCE = 6;

// What an account has in its list at first.
const TODOS = 20;

// A todo as somebody writes it.
export function newTodo(random, list) {
    const todo = { title: random.words(2, 6), priority: random.pick(['none', 'none', 'low', 'medium', 'high']) };
    if (list && random.next() < 0.5) todo.list_id = list;
    if (random.next() < 0.3) todo.notes = random.words(5, 40);
    if (random.next() < 0.4) todo.due_at = new Date(Date.UTC(2030, 0, 1) + random.between(0, 90) * 86400000).toISOString();
    if (random.next() < 0.3) todo.tags = [random.pick(['home', 'work', 'family']), random.pick(['soon', 'later'])];
    return todo;
}

export function makeAccounts(count) {
    const made = [];
    const [run, password, random] = [hex(6), hex(16), new Random(seed, 0)];
    try {
        while (made.length < count) {
            made.push(...makeSome(run, password, random, made.length, Math.min(AT_ONCE, count - made.length)));
        }
    } catch (error) {
        deleteAccounts(made);
        throw error;
    }
    return made;
}

function makeSome(run, password, random, first, count) {
    const clients = Array.from({ length: count }, (_, index) => new Client(urls[(first + index) % urls.length]));
    const emails = clients.map((_, index) => `load-${run}-${first + index}@example.org`);
    const registered = together(clients, 'POST /v1/auth/register', (_, index) => ({ body: { email: emails[index], password }, expect: [201] }));
    clients.forEach((client, index) => client.keep(registered[index]));
    const lists = together(clients, 'POST /v1/lists', () => ({ body: { name: 'Work' }, expect: [201] })).map((list) => list.json('id'));
    for (let todo = 0; todo < TODOS; todo++) {
        together(clients, 'POST /v1/todos', (_, index) => ({ body: newTodo(random, lists[index]), expect: [201] }));
    }
    return clients.map((client, index) => ({ url: client.url, email: emails[index], password, list: lists[index], refresh: client.tokens.refresh }));
}

export function deleteAccounts(accounts) {
    for (let first = 0; first < accounts.length; first += AT_ONCE) {
        const some = accounts.slice(first, first + AT_ONCE);
        const clients = some.map((account) => new Client(account.url));
        // The access tokens of the beginning have expired long since.
        const refreshed = together(clients, 'POST /v1/auth/refresh', (_, index) => ({ body: { refresh_token: some[index].refresh } }));
        clients.forEach((client, index) => client.keep(refreshed[index]));
        together(clients, 'DELETE /v1/me', (_, index) => ({ body: { password: some[index].password }, expect: [204] }));
    }
}
