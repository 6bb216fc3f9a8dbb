// When a run has failed, and what is said of it: limits for k6, and the results as a table, as text and as JSON.

import { KINDS, OPERATIONS } from './operations.js';
import { output } from './settings.js';

// A service that fails this often is not loaded any further.
const MOST_ERRORS = 1000;

// Limits for the requests of one scenario, what is before and after it not included; errors count wherever they are. Each
// endpoint has the limit, so that a slow one does not hide among many fast ones.
export function limits(scenario, p95) {
    const limits = {
        errors: ['count==0', { threshold: `count<${MOST_ERRORS}`, abortOnFail: true }],
        [durations(scenario)]: [`p(95)<${p95}`],
    };
    for (const kind of KINDS) limits[durations(scenario, `kind:${kind}`)] = [`p(95)<${p95}`];
    for (const operation of OPERATIONS) {
        limits[durations(scenario, `name:${operation}`)] = [`p(95)<${p95}`];
        limits[`errors{name:${operation}}`] = ['count==0'];
    }
    return limits;
}

function durations(scenario, tag) {
    return `http_req_duration{scenario:${scenario}${tag ? `,${tag}` : ''}}`;
}

// The end of a script's run: `seconds` is how long its scenario was planned for, if it was.
export function results(data, { scenario, p95, seconds, begin }) {
    const lasted = Math.min(seconds || Infinity, data.state.testRunDurationMs / 1000);
    const row = (name, key, errors) => {
        const values = data.metrics[key].values;
        return {
            name,
            requests: values.count,
            rate: values.count / lasted,
            p50: values.med,
            p95: values['p(95)'],
            p99: values['p(99)'],
            max: values.max,
            errors,
        };
    };
    const errorsOf = (operation) => data.metrics[`errors{name:${operation}}`].values.count;
    const all = row('all', durations(scenario), data.metrics.errors.values.count);
    const kinds = KINDS.map((kind) => row(`${kind}s`, durations(scenario, `kind:${kind}`), null));
    const operations = OPERATIONS.map((operation) => row(operation, durations(scenario, `name:${operation}`), errorsOf(operation)));
    const rows = [all, ...kinds, ...operations].filter((row) => row.requests > 0 || row.errors > 0);
    const slow = rows.filter((row) => row.p95 >= p95).map((row) => `p95 of ${row.name} is ${row.p95.toFixed(1)} ms, the limit ${p95} ms`);
    const failures = all.errors ? [all.errors === 1 ? '1 error' : `${all.errors} errors`, ...slow] : slow;
    if (!all.requests) failures.push('the load never began');
    const table = tableOf(rows);
    return {
        stdout: `\n${table}\n`,
        [`${output}/summary.txt`]: table,
        [`${output}/summary.json`]: JSON.stringify({ begin, seconds: lasted, p95_limit: p95, ...all, failures, rows }, null, 2),
    };
}

// A table of Markdown that can be read as it is.
function tableOf(rows) {
    const head = ['', 'requests', 'per s', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms', 'errors'];
    const cells = rows.map((row) => [
        row.name,
        String(row.requests),
        row.rate.toFixed(1),
        ...[row.p50, row.p95, row.p99, row.max].map((value) => value.toFixed(1)),
        row.errors === null ? '' : String(row.errors),
    ]);
    const widths = head.map((_, column) => Math.max(...[head, ...cells].map((line) => line[column].length)));
    const lineOf = (line) => `| ${line.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[0]))).join(' | ')} |`;
    const rule = `|${widths.map((width, column) => (column ? `${'-'.repeat(width + 1)}:` : '-'.repeat(width + 2))).join('|')}|`;
    return `${[lineOf(head), rule, ...cells.map(lineOf)].join('\n')}\n`;
}
