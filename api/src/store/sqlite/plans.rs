//! That a page walks an index of its lists, and never all todos.

use sqlx::{AssertSqlSafe, Row as _};

use super::search::page_text;
use crate::store::contract::{Bench, Raw, query};

#[tokio::test]
async fn no_page_scans_all_todos() {
    let bench = Bench::sqlite().await;
    let Raw::Sqlite(pool) = &bench.raw else { return };
    let me = bench.user().await;
    for sort in ["position", "-due_at", "created_at", "updated_at", "priority"] {
        for trashed in [false, true] {
            let text = page_text(&query(&me, &format!("q=word&sort={sort}&trashed={trashed}"), None));
            let rows =
                sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"))).fetch_all(pool).await.expect("a plan");
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            assert!(plan.iter().any(|step| step.starts_with("SEARCH t USING INDEX todos_")), "{plan:?}");
            assert!(
                !plan.iter().any(|step| step == "SCAN t" || step.starts_with("SCAN m") || step.starts_with("SCAN u")),
                "{plan:?}"
            );
        }
    }
}
