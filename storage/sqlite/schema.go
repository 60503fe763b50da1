package sqlite

import "indelible/storage/internal/rows"

// schema is the history of the SQLite schema. Times are Unix milliseconds.
func schema() rows.Schema {
	return rows.Schema{
		Bootstrap: []string{
			`CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER PRIMARY KEY, oldest INTEGER NOT NULL) STRICT`,
			`CREATE TABLE IF NOT EXISTS schema_lease (id INTEGER PRIMARY KEY, holder TEXT NOT NULL, expires_at INTEGER NOT NULL) STRICT`,
		},
		Migrations: []rows.Migration{{Oldest: 1, Statements: []string{
			`CREATE TABLE IF NOT EXISTS logs (
				id INTEGER PRIMARY KEY,
				instance TEXT NOT NULL,
				origin TEXT NOT NULL UNIQUE,
				vkeys BLOB NOT NULL,
				register_id TEXT NOT NULL,
				created_at INTEGER NOT NULL,
				poisoned TEXT NOT NULL) STRICT`,
			`CREATE TABLE IF NOT EXISTS tree_heads (
				log_id INTEGER PRIMARY KEY,
				size INTEGER NOT NULL,
				root BLOB NOT NULL,
				compact_range BLOB NOT NULL,
				integrated_at INTEGER NOT NULL) STRICT`,
			`CREATE TABLE IF NOT EXISTS entries (
				log_id INTEGER NOT NULL,
				idx INTEGER NOT NULL,
				leaf_key INTEGER NOT NULL,
				leaf_hash BLOB NOT NULL,
				integrated_at INTEGER NOT NULL,
				body BLOB NOT NULL,
				PRIMARY KEY (log_id, idx)) STRICT`,
			`CREATE INDEX IF NOT EXISTS entries_by_leaf ON entries (log_id, leaf_key)`,
			`CREATE TABLE IF NOT EXISTS tiles (
				log_id INTEGER NOT NULL,
				level INTEGER NOT NULL,
				idx INTEGER NOT NULL,
				hashes BLOB NOT NULL,
				PRIMARY KEY (log_id, level, idx)) STRICT`,
			`CREATE TABLE IF NOT EXISTS edges (
				log_id INTEGER NOT NULL,
				level INTEGER NOT NULL,
				idx INTEGER NOT NULL,
				hashes BLOB NOT NULL,
				PRIMARY KEY (log_id, level)) STRICT`,
			`CREATE TABLE IF NOT EXISTS checkpoints (
				log_id INTEGER PRIMARY KEY,
				version INTEGER NOT NULL,
				size INTEGER NOT NULL,
				root BLOB NOT NULL,
				note BLOB NOT NULL,
				published_at INTEGER NOT NULL) STRICT`,
			`CREATE TABLE IF NOT EXISTS checkpoint_history (
				log_id INTEGER NOT NULL,
				size INTEGER NOT NULL,
				root BLOB NOT NULL,
				note BLOB NOT NULL,
				published_at INTEGER NOT NULL,
				PRIMARY KEY (log_id, size)) STRICT`,
			`CREATE TABLE IF NOT EXISTS leases (
				log_id INTEGER NOT NULL,
				name TEXT NOT NULL,
				holder TEXT NOT NULL,
				epoch INTEGER NOT NULL,
				expires_at INTEGER NOT NULL,
				PRIMARY KEY (log_id, name)) STRICT`,
		}}, {Oldest: 1, Statements: []string{
			`CREATE TABLE IF NOT EXISTS facts (
				log_id INTEGER NOT NULL,
				name TEXT NOT NULL,
				value BLOB NOT NULL,
				PRIMARY KEY (log_id, name)) STRICT`,
			`CREATE TABLE IF NOT EXISTS search_indexes (
				log_id INTEGER PRIMARY KEY,
				index_id INTEGER NOT NULL UNIQUE,
				format INTEGER NOT NULL,
				size INTEGER NOT NULL) STRICT`,
			`CREATE TABLE IF NOT EXISTS search_rows (
				index_id INTEGER NOT NULL,
				key_hash INTEGER NOT NULL,
				last_idx INTEGER NOT NULL,
				earlier BLOB NOT NULL,
				PRIMARY KEY (index_id, key_hash, last_idx)) STRICT, WITHOUT ROWID`,
			`CREATE TABLE IF NOT EXISTS search_leftovers (index_id INTEGER PRIMARY KEY) STRICT`,
		}}},
	}
}
