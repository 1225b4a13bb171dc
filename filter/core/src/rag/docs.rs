//! `docs/vector-databases.md`: what each backend supports, from the tables themselves.

use crate::surface::{KINDS, Kind};

/// The document.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Vector databases\n\nGenerated from `filter/core/src/rag` (`PARTYWALL_BLESS=1 cargo test -p partywall-core --test generated`). \
         The endpoints of each are in [surfaces.md](surfaces.md); `partywall surfaces KIND` prints them too.\n\n\
         In every strategy records are marked, queries are forced into the tenant's namespace, and results are verified; a strategy \
         only says where the records are. What is in no table is refused.\n\n",
    );
    let databases: Vec<&Kind> = KINDS.iter().map(|kind| Kind::of(*kind)).filter(|kind| kind.rag.is_some()).collect();
    text += "| database | `namespace` | `separate_collection` | `separate_db` | served | verified | refused by name |\n|---|---|---|---|---|---|---|\n";
    for kind in &databases {
        let Some(rag) = kind.rag else { continue };
        let count =
            |wanted: &dyn Fn(&crate::surface::Endpoint) -> bool| kind.table.iter().filter(|row| wanted(row)).count();
        let refused = count(&|row| row.refuses());
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {refused} |\n",
            kind.title,
            rag.strategies.namespace,
            rag.strategies.separate_collection,
            rag.strategies.separate_db,
            count(&|row| !row.refuses()),
            count(&|row| !row.refuses() && row.verifies()),
        );
    }
    text += "\n## Limits that are the backend's\n\nNo proxy can lift these; choose the strategy accordingly.\n";
    for kind in &databases {
        let Some(rag) = kind.rag else { continue };
        text += &format!("\n### {}\n\n", kind.title);
        for limit in rag.limits {
            text += &format!("- {limit}\n");
        }
    }
    text
}
