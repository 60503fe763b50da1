package mysql

import "indelible/storage/internal/rows"

// schema is the history of the MySQL schema. Times are Unix milliseconds.
// Text that is compared is binary: MySQL and MariaDB differ in their default
// collations. An entry's hash is random, so only its first 8 bytes are indexed,
// and appends go to the end of the clustered index.
func schema() rows.Schema {
	return rows.Schema{
		Bootstrap: []string{
			`CREATE TABLE IF NOT EXISTS schema_versions (version INT NOT NULL PRIMARY KEY, oldest INT NOT NULL) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS schema_lease (id INT NOT NULL PRIMARY KEY, holder VARBINARY(64) NOT NULL, expires_at BIGINT NOT NULL) ENGINE=InnoDB`,
		},
		Migrations: []rows.Migration{{Oldest: 1, Statements: []string{
			`CREATE TABLE IF NOT EXISTS logs (
				id BIGINT NOT NULL PRIMARY KEY,
				instance VARBINARY(32) NOT NULL,
				origin VARBINARY(255) NOT NULL,
				vkeys BLOB NOT NULL,
				register_id VARBINARY(64) NOT NULL,
				created_at BIGINT NOT NULL,
				poisoned BLOB NOT NULL,
				UNIQUE KEY by_origin (origin)) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS tree_heads (
				log_id BIGINT NOT NULL PRIMARY KEY,
				size BIGINT NOT NULL,
				root BINARY(32) NOT NULL,
				compact_range VARBINARY(2048) NOT NULL,
				integrated_at BIGINT NOT NULL) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS entries (
				log_id BIGINT NOT NULL,
				idx BIGINT NOT NULL,
				leaf_key BIGINT NOT NULL,
				leaf_hash BINARY(32) NOT NULL,
				integrated_at BIGINT NOT NULL,
				body MEDIUMBLOB NOT NULL,
				PRIMARY KEY (log_id, idx),
				KEY by_leaf (log_id, leaf_key)) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS tiles (
				log_id BIGINT NOT NULL,
				level TINYINT NOT NULL,
				idx BIGINT NOT NULL,
				hashes BLOB NOT NULL,
				PRIMARY KEY (log_id, level, idx)) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS edges (
				log_id BIGINT NOT NULL,
				level TINYINT NOT NULL,
				idx BIGINT NOT NULL,
				hashes BLOB NOT NULL,
				PRIMARY KEY (log_id, level)) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS checkpoints (
				log_id BIGINT NOT NULL PRIMARY KEY,
				version BIGINT NOT NULL,
				size BIGINT NOT NULL,
				root BINARY(32) NOT NULL,
				note MEDIUMBLOB NOT NULL,
				published_at BIGINT NOT NULL) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS checkpoint_history (
				log_id BIGINT NOT NULL,
				size BIGINT NOT NULL,
				root BINARY(32) NOT NULL,
				note MEDIUMBLOB NOT NULL,
				published_at BIGINT NOT NULL,
				PRIMARY KEY (log_id, size)) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS leases (
				log_id BIGINT NOT NULL,
				name VARBINARY(32) NOT NULL,
				holder VARBINARY(255) NOT NULL,
				epoch BIGINT NOT NULL,
				expires_at BIGINT NOT NULL,
				PRIMARY KEY (log_id, name)) ENGINE=InnoDB`,
		}}, {Oldest: 1, Statements: []string{
			`CREATE TABLE IF NOT EXISTS facts (
				log_id BIGINT NOT NULL,
				name VARBINARY(64) NOT NULL,
				value BLOB NOT NULL,
				PRIMARY KEY (log_id, name)) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS search_indexes (
				log_id BIGINT NOT NULL PRIMARY KEY,
				index_id INT NOT NULL,
				format INT NOT NULL,
				size BIGINT NOT NULL,
				UNIQUE KEY by_index (index_id)) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS search_rows (
				index_id INT NOT NULL,
				key_hash BIGINT NOT NULL,
				last_idx BIGINT NOT NULL,
				earlier VARBINARY(1024) NOT NULL,
				PRIMARY KEY (index_id, key_hash, last_idx)) ENGINE=InnoDB`,
			`CREATE TABLE IF NOT EXISTS search_leftovers (index_id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB`,
		}}},
	}
}
