//! The limits that a workload and a guest meet besides those of their job, where they are stated: `isobit limits` lists them.

pub use crate::bounds::{
    MAX_COMPONENT_INSTANCES, MAX_COMPONENTS, MAX_FUNCTION_BYTES, MAX_FUNCTIONS, MAX_GLOBALS, MAX_INSTANCES, MAX_LOCALS,
    MAX_MEMORIES, MAX_MODULES, MAX_TABLE_ELEMENTS, MAX_TABLES, MAX_TYPES,
};
pub use crate::code::{LIMIT as CODE_CACHE_BYTES, MAX_CODE as MAX_CODE_BYTES};
pub use crate::fuel::{
    BYTE as BYTE_FUEL, COMMAND as COMMAND_FUEL, HOST_CALL as HOST_CALL_FUEL, ITEM as ITEM_FUEL,
    NANOSECOND as NANOSECOND_FUEL, WGSL_BYTE as WGSL_BYTE_FUEL,
};
pub use crate::host::MAX_ARCHIVED as MAX_ARCHIVED_FILES;
pub use crate::host::MAX_HANDLES;
pub use crate::host::io::MAX_READ as MAX_READ_BYTES;
pub use crate::host::limiter::{
    MAX_MEMORIES as MAX_RUNNING_MEMORIES, MAX_TABLE_ELEMENTS as MAX_RUNNING_TABLE_ELEMENTS,
    MAX_TABLES as MAX_RUNNING_TABLES,
};
pub use crate::host::report::{MAX_LOG, MAX_PROGRESS};
pub use crate::rewrite::MAX_DEPTH as MAX_CALL_DEPTH;
pub use crate::run::HOSTCALL_BYTES;
