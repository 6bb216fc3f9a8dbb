// The API as a program uses it: signs in, stays signed in, sends what it knows of a thing along (If-None-Match, If-Match).
// Every request names the statuses that are intended; any other one, or none, is an error.

import http from 'k6/http';
import { Counter } from 'k6/metrics';

import { OPERATIONS, kindOf } from './operations.js';

export const errors = new Counter('errors');

// Lines of one user in the log; its other errors are counted only.
const MOST_LINES = 3;
let lines = 0;

// An answer that was not intended. It is counted already.
export class Unexpected extends Error {}

// Counts an error and says it, without anything that is secret.
export function report(name, what, detail) {
    errors.add(1, { name });
    if (lines++ < MOST_LINES) {
        console.error(`error: ${name}: ${what}; ${detail}`);
    }
}

export class Client {
    constructor(url) {
        this.url = url;
        this.tokens = null;
    }

    // A request as http.batch takes it. `operation` is one of OPERATIONS, `segment` what stands for its {…}.
    prepare(operation, { segment, query, body, ifMatch, ifNoneMatch, expect = [200] } = {}) {
        if (!OPERATIONS.includes(operation)) {
            throw new Error(`${operation} is not in operations.js`);
        }
        const [method, template] = operation.split(' ');
        const headers = { Accept: 'application/json' };
        if (this.tokens) headers.Authorization = `Bearer ${this.tokens.access}`;
        if (body) headers['Content-Type'] = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
        if (ifMatch) headers['If-Match'] = ifMatch;
        if (ifNoneMatch) headers['If-None-Match'] = ifNoneMatch;
        return {
            method,
            url: this.url + template.replace(/{[a-z]+}/, segment) + (query ? `?${query}` : ''),
            body: body ? JSON.stringify(body) : null,
            params: {
                headers,
                tags: { name: operation, kind: kindOf(operation) },
                responseCallback: http.expectedStatuses(...expect),
                timeout: '30s',
            },
        };
    }

    send(operation, options = {}) {
        if (this.tokens && Date.now() > this.tokens.renewAt) {
            this.refresh();
        }
        const { method, url, body, params } = this.prepare(operation, options);
        return judge(operation, options, http.request(method, url, body, params));
    }

    register(email, password) {
        this.keep(this.send('POST /v1/auth/register', { body: { email, password }, expect: [201] }));
    }

    signIn(email, password) {
        this.tokens = null;
        this.keep(this.send('POST /v1/auth/login', { body: { email, password, device_name: 'k6' } }));
    }

    refresh() {
        const token = this.tokens.refresh;
        this.tokens = null;
        this.keep(this.send('POST /v1/auth/refresh', { body: { refresh_token: token } }));
    }

    signOut() {
        this.send('POST /v1/auth/logout', { expect: [204] });
        this.tokens = null;
    }

    // Takes the tokens of an answer. They are renewed a minute before they expire, as an app does.
    keep(response) {
        const body = response.json();
        this.tokens = {
            access: body.access_token,
            refresh: body.refresh_token,
            renewAt: Date.now() + (body.expires_in - 60) * 1000,
        };
    }
}

// The same operation of several clients at once; the answers stand in the order of the clients.
export function together(clients, operation, optionsOf) {
    const options = clients.map(optionsOf);
    const responses = http.batch(clients.map((client, index) => client.prepare(operation, options[index])));
    return responses.map((response, index) => judge(operation, options[index], response));
}

// The entity tag of an answer.
export function tagOf(response) {
    return response.headers.Etag;
}

function judge(operation, { expect = [200] }, response) {
    if (expect.includes(response.status)) {
        return response;
    }
    let problem = {};
    try {
        problem = response.json();
    } catch {
        // Not every error is a problem document; without an answer there is no body at all.
    }
    const got = response.status ? `${response.status} ${problem.code || ''}`.trim() : `no answer (${response.error})`;
    report(operation, `${got} instead of ${expect.join(' or ')}`, `request ${problem.request_id || 'unknown'} through ${response.url.split('/')[2]}`);
    throw new Unexpected(`${operation}: ${got}`);
}
