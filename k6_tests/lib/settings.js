// What a run is told by its environment; README.md lists the variables. A value that makes no sense ends the run before
// its first request.

function number(name, otherwise, least, most) {
    const text = __ENV[name] || String(otherwise);
    const value = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : NaN;
    if (!(value >= least && value <= most)) {
        throw new Error(`${name}=${text} is not a number from ${least} to ${most}`);
    }
    return value;
}

// The addresses of the gateways. Users are spread over them.
export const urls = (__ENV.LOAD_URLS || '').split(/\s+/).filter((url) => url !== '').map((url) => url.replace(/\/$/, ''));

// k6 reads a script without running it, too: only a run needs to know whom it loads.
export function requireUrls() {
    if (!urls.length) throw new Error('LOAD_URLS is empty: it says which gateways are loaded');
}

// The factor of every stage's length.
export const scale = number('SCALE', 1, 0.01, 10);

// How many users there are at the top of the ramp.
export const users = Math.ceil(number('LOAD_USERS', 200, 1, 10000));

// The limit of the 95th percentile of each endpoint, in milliseconds.
export function limit(otherwise) {
    return number('LOAD_P95', otherwise, 0.001, 60000);
}

// What the users' choices begin with: the same seed makes every user choose the same.
export const seed = Math.floor(number('LOAD_SEED', 1, 0, 4294967295));

// Where the results are written; the folder must exist.
export const output = __ENV.LOAD_OUTPUT || 'target/load';

// What both scripts want of k6 itself.
export const common = {
    // Redirects would lead the load to another host than the one that was named.
    maxRedirects: 0,
    // A series for each endpoint, never for each address: `name` holds the route's template.
    systemTags: ['name', 'scenario', 'expected_response', 'group'],
    summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max', 'count'],
    setupTimeout: '5m',
    teardownTimeout: '5m',
};
