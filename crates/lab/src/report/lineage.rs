//! The lineage of a result, drawn.

/// What was made from what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// What was made, or was given.
    pub nodes: Vec<GraphNode>,
    /// Which of them went into which.
    pub edges: Vec<GraphEdge>,
}

/// Something that was made, or was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNode {
    /// Its id, unique in the graph.
    pub id: String,
    /// The kind of step that made it.
    pub kind: String,
    /// What a person calls it, e.g. `student/owl/seed-3`.
    pub label: String,
}

/// One input of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphEdge {
    /// Id of the node that was used.
    pub from: String,
    /// Id of the node made from it.
    pub to: String,
    /// As what it was used.
    pub role: Option<String>,
}
