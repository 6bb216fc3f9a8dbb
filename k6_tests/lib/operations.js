// Every operation of the API, by the name that measurements carry: the method and the route's template. smoke.js compares
// the list with the service's own OpenAPI document.

export const OPERATIONS = [
    'GET /',
    'GET /.well-known/jwks.json',
    'GET /docs',
    'GET /docs/style.css',
    'GET /health',
    'GET /livez',
    'GET /openapi.json',
    'GET /problems/{code}',
    'GET /readyz',
    'POST /v1/auth/register',
    'POST /v1/auth/login',
    'POST /v1/auth/refresh',
    'POST /v1/auth/logout',
    'POST /v1/auth/password',
    'GET /v1/me',
    'PATCH /v1/me',
    'DELETE /v1/me',
    'GET /v1/sessions',
    'DELETE /v1/sessions',
    'DELETE /v1/sessions/{id}',
    'GET /v1/lists',
    'POST /v1/lists',
    'GET /v1/lists/{id}',
    'PATCH /v1/lists/{id}',
    'DELETE /v1/lists/{id}',
    'GET /v1/todos',
    'POST /v1/todos',
    'GET /v1/todos/{id}',
    'PATCH /v1/todos/{id}',
    'DELETE /v1/todos/{id}',
    'POST /v1/todos/{id}/restore',
];

// What an operation is to its user.
export const KINDS = ['read', 'write', 'session'];

export function kindOf(operation) {
    if (operation.includes(' /v1/auth/') || operation.includes(' /v1/sessions') || operation === 'DELETE /v1/me') {
        return 'session';
    }
    return operation.startsWith('GET ') ? 'read' : 'write';
}
