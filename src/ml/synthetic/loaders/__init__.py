"""Loading synthetic data: every row or its reason, twice the same, row level security on."""

from src.ml.synthetic.loaders.batch_loader import (
    LOADING_ORDER,
    RENAMES,
    TABLE_COLUMNS,
    AsyncBatchLoader,
    BatchLoader,
    LoaderConfig,
    LoadResult,
    RowFailure,
    get_loading_summary,
    renamed,
)
from src.ml.synthetic.loaders.stats import (
    ColumnStats,
    DatasetStats,
    SplitStats,
    get_all_datasets_stats,
    get_column_stats,
    get_dataset_stats,
    get_split_stats,
    print_dataset_summary,
    validate_supabase_data,
)

__all__ = [
    "LOADING_ORDER",
    "RENAMES",
    "TABLE_COLUMNS",
    "AsyncBatchLoader",
    "BatchLoader",
    "ColumnStats",
    "DatasetStats",
    "LoadResult",
    "LoaderConfig",
    "RowFailure",
    "SplitStats",
    "get_all_datasets_stats",
    "get_column_stats",
    "get_dataset_stats",
    "get_loading_summary",
    "get_split_stats",
    "print_dataset_summary",
    "renamed",
    "validate_supabase_data",
]
