// What a user does: one action after another, chosen by its share. Shares are of actions; docs/performance/load.md says
// what that makes of requests.

import { Client, tagOf } from './client.js';
import { newTodo } from './accounts.js';

export const ACTIONS = [
    // Looks at what there is.
    { share: 34, name: 'readPage' },
    { share: 5, name: 'readTwoPages' },
    { share: 25, name: 'readTodo' },
    { share: 8, name: 'readLists' },
    { share: 3, name: 'readAccount' },
    // Changes it.
    { share: 8, name: 'create' },
    { share: 9, name: 'change' },
    { share: 1, name: 'conflict' },
    { share: 2, name: 'discard' },
    { share: 1, name: 'renameList' },
    // Comes back after hours, which a run has no time for; leaves and signs in again.
    { share: 3.5, name: 'comeBack' },
    { share: 0.5, name: 'signInAgain' },
];

// What the app opens with, and the other views of it.
const FIRST_VIEW = 'status=open&limit=50';
const VIEWS = [FIRST_VIEW, FIRST_VIEW, FIRST_VIEW, 'sort=due_at&limit=50', 'status=done&sort=-updated_at&limit=20', 'priority=high&limit=50'];

export class User {
    constructor(account, random) {
        this.account = account;
        this.random = random;
        this.client = new Client(account.url);
        this.forget();
    }

    // Everything the app has kept: entity tags of views, of the lists, of todos. Nobody else writes to this account, so that
    // a tag is right until this user changes the thing.
    forget() {
        this.tags = new Map();
        this.todos = new Map();
    }

    act() {
        if (!this.client.tokens) {
            this.client.signIn(this.account.email, this.account.password);
            this.readLists();
            this.readView(FIRST_VIEW);
            return;
        }
        this[this.random.share(ACTIONS).name]();
    }

    // Reads with the tag of the last time, and keeps the new one.
    readAgain(operation, options, key) {
        const response = this.client.send(operation, { ...options, ifNoneMatch: this.tags.get(key), expect: [200, 304] });
        this.tags.set(key, tagOf(response));
        return response;
    }

    readView(view) {
        const response = this.readAgain('GET /v1/todos', { query: view }, view);
        if (view === FIRST_VIEW && response.status === 200) {
            this.todos = new Map(response.json('data').map((todo) => [todo.id, this.todos.get(todo.id)]));
        }
    }

    readPage() {
        this.readView(this.random.pick(VIEWS));
    }

    readTwoPages() {
        const cursor = this.client.send('GET /v1/todos', { query: 'limit=10' }).json('next_cursor');
        if (cursor) {
            this.client.send('GET /v1/todos', { query: `limit=10&cursor=${cursor}` });
        }
    }

    readTodo() {
        const id = this.someTodo();
        const tag = this.todos.get(id);
        const response = this.client.send('GET /v1/todos/{id}', { segment: id, ifNoneMatch: tag, expect: tag ? [200, 304] : [200] });
        this.todos.set(id, tagOf(response));
    }

    readLists() {
        this.readAgain('GET /v1/lists', {}, 'lists');
    }

    readAccount() {
        this.client.send(this.random.pick(['GET /v1/me', 'GET /v1/sessions']));
    }

    create() {
        const response = this.client.send('POST /v1/todos', { body: newTodo(this.random, this.account.list), expect: [201] });
        this.todos.set(response.json('id'), tagOf(response));
        return response.json('id');
    }

    change() {
        const id = this.knownTodo();
        this.patch(id, this.random.pick([{ status: 'done' }, { priority: 'high' }, { title: this.random.words(2, 6) }, { notes: this.random.words(5, 40) }]));
    }

    // The phone changed it; the laptop, which has the version before, is refused, reads and tries again.
    conflict() {
        const id = this.knownTodo();
        const before = this.todos.get(id);
        this.patch(id, { priority: 'low' });
        const body = { title: this.random.words(2, 6) };
        this.client.send('PATCH /v1/todos/{id}', { segment: id, body, ifMatch: before, expect: [412] });
        this.todos.set(id, tagOf(this.client.send('GET /v1/todos/{id}', { segment: id })));
        this.patch(id, body);
    }

    // Half of what is thrown away is wanted back.
    discard() {
        const id = this.knownTodo();
        this.client.send('DELETE /v1/todos/{id}', { segment: id, ifMatch: this.todos.get(id), expect: [204] });
        this.todos.delete(id);
        if (this.random.next() < 0.5) {
            this.todos.set(id, tagOf(this.client.send('POST /v1/todos/{id}/restore', { segment: id })));
        }
    }

    renameList() {
        const segment = this.account.list;
        const list = this.readAgain('GET /v1/lists/{id}', { segment }, segment);
        const response = this.client.send('PATCH /v1/lists/{id}', { segment, body: { name: this.random.words(1, 3) }, ifMatch: tagOf(list) });
        this.tags.set(segment, tagOf(response));
    }

    comeBack() {
        this.client.refresh();
    }

    signInAgain() {
        this.client.signOut();
        this.client.signIn(this.account.email, this.account.password);
    }

    patch(id, body) {
        const response = this.client.send('PATCH /v1/todos/{id}', { segment: id, body, ifMatch: this.todos.get(id) });
        this.todos.set(id, tagOf(response));
    }

    someTodo() {
        return this.todos.size ? this.random.pick(Array.from(this.todos.keys())) : this.create();
    }

    // One whose tag is known; who edits a todo has opened it before.
    knownTodo() {
        const id = this.someTodo();
        if (!this.todos.get(id)) {
            this.todos.set(id, tagOf(this.client.send('GET /v1/todos/{id}', { segment: id })));
        }
        return id;
    }
}
